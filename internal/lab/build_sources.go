package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/kbuild"
)

// sources are the files of out-of-tree modules, by their path below the directory
// in which they are built.
type sources map[string][]byte

// maxSources bounds the files of a module's directory, in bytes: a user who names the home directory
// by mistake gets an error, not a copy.
const maxSources = 64 << 20

// readSources reads what the user named: one directory with a Makefile or Kbuild of
// its own, or C files that become one module each.
func readSources(paths []string) (sources, error) {
	if len(paths) == 0 {
		return nil, errors.New("nothing to build: name a module's directory or its .c files")
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	if info.IsDir() {
		if len(paths) > 1 {
			return nil, fmt.Errorf("build one directory at a time: %q and %q", paths[0], paths[1])
		}
		return directorySources(os.DirFS(paths[0]), paths[0])
	}
	return fileSources(paths)
}

// directorySources reads a module's directory, without what earlier builds left there.
func directorySources(directory fs.FS, name string) (sources, error) {
	s := sources{}
	size := 0
	err := fs.WalkDir(directory, ".", func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular() || isBuilt(p):
			return nil
		}
		text, err := fs.ReadFile(directory, p)
		s[p] = text
		if size += len(text); size > maxSources {
			return fmt.Errorf("more than %d MiB: is this the directory of a module?", maxSources>>20)
		}
		return err
	})
	if err == nil && s["Makefile"] == nil && s["Kbuild"] == nil {
		err = errors.New("no Makefile and no Kbuild in it")
	}
	if err != nil {
		return nil, fmt.Errorf("read sources in %s: %w", name, err)
	}
	return s, nil
}

func isBuilt(p string) bool {
	name := path.Base(p)
	return slices.Contains([]string{".o", ".ko", ".mod", ".symvers", ".order"}, path.Ext(name)) || strings.HasSuffix(name, ".mod.c")
}

// fileSources makes a module of each C file.
func fileSources(paths []string) (sources, error) {
	s := sources{}
	for _, p := range paths {
		name := filepath.Base(p)
		if err := kbuild.CheckSourceName(name); err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
		if s[name] != nil {
			return nil, fmt.Errorf("build %q: two files of one name would be one module", name)
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read sources: %w", err)
		}
		s[name] = text
	}
	s.listModules()
	return s, nil
}

// listModules writes the Kbuild file that makes a module of every C file.
func (s sources) listModules() {
	var files []string
	for name := range s {
		if path.Ext(name) == ".c" {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	s["Kbuild"] = []byte(kbuild.Rules(files))
}

// hash names the content: the same files have the same hash.
func (s sources) hash(context ...string) string {
	h := sha256.New()
	for _, c := range context {
		fmt.Fprintf(h, "%q\n", c)
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(s[name]))
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

func (s sources) writeTo(dir string) error {
	for name, text := range s {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
