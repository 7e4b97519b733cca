package rule

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// DefaultDir is where a machine's own rules are.
const DefaultDir = "/etc/kmodtrace/rules.d"

// Machine gives the rules that are built in, and those in [DefaultDir] where that exists.
func Machine() (*Set, error) {
	if _, err := os.Stat(DefaultDir); errors.Is(err, fs.ErrNotExist) {
		return Load()
	}
	return Load(DefaultDir)
}

// Load gives the rules that are built in, and those of files: each path is a file, or a directory whose
// files *.yaml are read in the order of their names. A file that is wrong is an error, and so is a rule
// with the id of another one.
func Load(paths ...string) (*Set, error) {
	own, err := Builtin()
	if err != nil {
		return nil, err
	}
	s := &Set{rules: slices.Clone(own.rules)}
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			text, err := readFile(name)
			if err != nil {
				return nil, err
			}
			if err := s.add(name, text, false); err != nil {
				return nil, err
			}
		}
	}
	s.watch = append(s.watch, own.watch...)
	return s, nil
}

func filesOf(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if ok, _ := filepath.Match("[^.]*.yaml", e.Name()); ok && !e.IsDir() {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files, nil
}

// readFile reads a regular file, up to its bound: a pipe would hold it up.
func readFile(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is no regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
