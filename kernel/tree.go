package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Tree is how depmod's list (modules.dep) compares with the files of modules that are there.
type Tree struct {
	NoList   bool         // there are modules and no list, so that modprobe finds none
	Gone     []string     // it lists them, and they are not there
	Unlisted []string     // they are there, and it lists no file of their name
	Hidden   []HiddenFile // it lists another file of their name
	Partial  bool         // there are more files than were looked at
	// Broken has the indexes that modprobe can find nothing by. Where there is none at all, modprobe may be
	// one that reads the lists (busybox), and nothing is broken.
	Broken []BrokenIndex
}

// HiddenFile is a file that modprobe does not take, because it takes another of its name.
type HiddenFile struct {
	Path  string
	Taken string
	Later bool // it was put there after depmod ran, which may list it the next time
}

// Tree compares them all. It errs with [ErrUnknown] where there are neither modules nor a list.
func (k *Kernel) Tree() (*Tree, error) {
	k.Refresh()
	modules, listErr := k.installed()
	if listErr != nil && !errors.Is(listErr, fs.ErrNotExist) {
		return nil, k.fail("modules.dep", "", listErr)
	}
	tree := &Tree{NoList: listErr != nil}
	if k.hasIndexes() {
		tree.Broken = k.BrokenIndexes()
	}
	listed := make(map[string]string)       // the file of a name; of several the first counts
	present := make(map[string]os.FileInfo) // of the name's file, where it is there
	for _, m := range modules {
		info, err := os.Stat(m.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			tree.Gone = append(tree.Gone, m.path)
		case err == nil && listed[m.name] == "":
			present[m.name] = info
		}
		if listed[m.name] == "" {
			listed[m.name] = m.path
		}
	}
	made := k.listMade()
	whole, err := k.walk(func(path, name string) {
		taken, is := listed[name]
		if !is {
			tree.Unlisted = append(tree.Unlisted, path)
			return
		}
		info, err := os.Stat(path)
		if err != nil || present[name] == nil || os.SameFile(info, present[name]) {
			return // a link to nothing, a list that is stale anyway, or the file itself
		}
		tree.Hidden = append(tree.Hidden, HiddenFile{path, taken, !made.IsZero() && changed(info).After(made)})
	})
	tree.Partial = !whole
	if tree.NoList && len(tree.Unlisted) == 0 {
		return nil, k.fail("modules.dep", "", listErr)
	}
	if err != nil {
		return nil, k.fail("modules.dep", "", unknown("%w", err))
	}
	return tree, nil
}

// listMade is when depmod wrote its list; zero where that cannot be read.
func (k *Kernel) listMade() time.Time {
	dir, _ := k.ModulesDir()
	info, err := os.Stat(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// changed is when a file was last written, linked or renamed.
func changed(info os.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}
