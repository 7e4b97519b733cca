package kmod

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// markSoft marks the steps that no target needs to be loaded: those that modprobe.d or
// a module's own softdep line only wish for. modprobe prints both kinds alike; which
// are needed stands in depmod's modules.dep. Without that file all count as needed.
func markSoft(steps []Step) {
	needed := make(map[string]bool)
	for _, step := range steps {
		if !step.Target || step.Kind != StepLoad {
			continue
		}
		files, ok := hardDependencies(step.Path)
		if !ok {
			return
		}
		for _, file := range files {
			needed[file] = true
		}
	}
	for i := range steps {
		s := &steps[i]
		s.Soft = !s.Target && s.Kind == StepLoad && len(needed) > 0 && !needed[s.Path]
	}
}

// hardDependencies gives the files that a module's file needs loaded first, itself
// included. Lines of modules.dep name all of them, not only the next:
//
//	kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko
func hardDependencies(path string) (files []string, ok bool) {
	top := filepath.Dir(path)
	for {
		if _, err := os.Stat(filepath.Join(top, "modules.dep")); err == nil {
			break
		}
		if top == filepath.Dir(top) {
			return nil, false
		}
		top = filepath.Dir(top)
	}
	f, err := os.Open(filepath.Join(top, "modules.dep"))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // a module may need dozens, each with a long path
	for lines.Scan() {
		file, rest, found := strings.Cut(lines.Text(), ":")
		if !found || under(top, file) != path {
			continue
		}
		files = append(files, path)
		for _, dependency := range strings.Fields(rest) {
			files = append(files, under(top, dependency))
		}
		return files, true
	}
	return nil, false
}

// under gives the path of a file that modules.dep names, below its folder unless it
// is absolute.
func under(top, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(top, file)
}
