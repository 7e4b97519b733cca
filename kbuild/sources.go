package kbuild

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What cannot be built, before anything is tried.
var (
	ErrBadTarget = errors.New("not what can be built") // what was asked for makes no sense
	ErrNoSources = errors.New("nothing to build")      // nothing in the directory says what to make
)

// sources are what the user named.
type sources struct {
	target    string   // what the user named
	shown     string   // the directory, as the user wrote it; "." for the current one
	directory string   // its real path
	files     []string // the C files that were named, without the directory; empty: the directory's own rules
	rules     string   // what to write into Kbuild; empty: the directory's own
}

// readSources finds out what the user named.
func readSources(paths []string) (*sources, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	if slices.Contains(paths, "") {
		return nil, &Error{Op: "build", Path: `""`, Err: fmt.Errorf("%w: must be a directory, or C files such as hello.c", ErrBadTarget)}
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		return nil, plainPathError("build", paths[0], err)
	}
	s := &sources{target: strings.Join(paths, " "), shown: filepath.Clean(paths[0])}
	if !info.IsDir() {
		s.shown = filepath.Dir(s.shown)
	}
	if s.directory, err = realPath(s.shown); err != nil {
		return nil, plainPathError("build", s.shown, err)
	}
	switch {
	case !info.IsDir():
		err = s.takeFiles(paths)
	case len(paths) > 1:
		err = fmt.Errorf("%w: one directory, or files, at a time: %.80q is too many", ErrBadTarget, paths[1])
	default:
		err = s.takeDirectory()
	}
	if err != nil {
		return nil, &Error{Op: "build", Path: paths[0], Err: err}
	}
	return s, nil
}

func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// plainPathError leaves out the name of the system call.
func plainPathError(op, path string, err error) error {
	var inner *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &inner):
		err = inner.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return &Error{Op: op, Path: path, Err: err}
}

// takeFiles makes a module of each file.
func (s *sources) takeFiles(paths []string) error {
	for _, path := range paths {
		name := filepath.Base(path)
		if err := CheckSourceName(name); err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return plainPathError("build", path, err).(*Error).Err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is not a regular file", ErrBadTarget, name)
		}
		directory, err := realPath(filepath.Dir(path))
		if err != nil {
			return err
		}
		if directory != s.directory {
			return fmt.Errorf("%w: files of one directory at a time: %.80q is in another", ErrBadTarget, path)
		}
		if slices.Contains(s.files, name) {
			return fmt.Errorf("%w: %s is named twice", ErrBadTarget, name)
		}
		s.files = append(s.files, name)
	}
	slices.Sort(s.files)
	s.rules = Rules(s.files)
	return checkModuleNames(s.files)
}

// takeDirectory takes the directory's own rules, or makes the obvious ones.
func (s *sources) takeDirectory() error {
	entries, err := os.ReadDir(s.directory)
	if err != nil {
		var inner *os.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return err
	}
	var modules, others []string
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case name == "Kbuild" || name == "Makefile":
			return checkRules(filepath.Join(s.directory, name))
		case !strings.HasSuffix(name, ".c") || strings.HasSuffix(name, ".mod.c") || strings.HasPrefix(name, "."):
		case isOther(filepath.Join(s.directory, name)): // reading a pipe would take for ever
		case saysLicense(filepath.Join(s.directory, name)):
			modules = append(modules, name)
		default:
			others = append(others, name)
		}
	}
	switch {
	case len(modules)+len(others) == 0:
		return fmt.Errorf("%w: no Makefile, no Kbuild and no .c file in it", ErrNoSources)
	case len(modules) == 0 && len(others) == 1: // modpost will say what is wrong with it
		modules = others
	case len(others) > 0:
		return fmt.Errorf("%w: %s", ErrNoSources, whichModule(modules, others))
	}
	for _, name := range modules {
		if err := CheckSourceName(name); err != nil {
			return err
		}
	}
	s.rules = Rules(modules)
	return checkModuleNames(modules)
}

// isOther tells what is not a file for certain: a directory, a pipe, a device.
func isOther(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// checkRules finds out whether make can read the rules: what it says itself does not name the
// reason.
func checkRules(path string) error {
	if isOther(path) {
		return fmt.Errorf("%w: its %s is not a regular file", ErrBadTarget, filepath.Base(path))
	}
	if err := unix.Access(path, unix.R_OK); err != nil {
		return fmt.Errorf("its %s: %w", filepath.Base(path), err)
	}
	return nil
}

// saysLicense tells a file that is a module by itself, or has its main part, from one
// that is part of another.
func saysLicense(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	word := []byte("MODULE_LICENSE")
	part, kept := make([]byte, 64<<10), 0 // in parts: what is called .c may be larger than the memory
	for {
		n, err := f.Read(part[kept:])
		text := part[:kept+n]
		if bytes.Contains(text, word) {
			return true
		}
		if err != nil {
			return false
		}
		kept = copy(part, text[max(len(text)-len(word)+1, 0):])
	}
}

// whichModule says what cannot be guessed, and shows what to write instead.
func whichModule(modules, others []string) string {
	object := func(name string) string { return strings.TrimSuffix(name, ".c") + ".o" }
	if len(modules) == 1 {
		return fmt.Sprintf("no Makefile says what %s is part of; write a file Kbuild with, for example: obj-m := NAME.o and NAME-y := %s %s",
			others[0], object(modules[0]), object(others[0]))
	}
	return fmt.Sprintf("no Makefile says what %s is part of: it has no MODULE_LICENSE; name the modules' files, or write a Kbuild", others[0])
}
