package lab

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// libraries finds what a dynamically linked program needs to run, the way its
// loader would: by the program's run path, then by the directories of ld.so.conf, then by
// the loader's own. Everything is looked up below one root directory, so that
// it also serves a foreign architecture's files.
type libraries struct {
	root        string // "/" for the host
	directories []string
}

func newLibraries(root string) *libraries {
	l := &libraries{root: root}
	l.readConf("/etc/ld.so.conf", 0)
	for _, pattern := range []string{"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		l.directories = append(l.directories, l.glob(pattern)...)
	}
	return l
}

// readConf reads a loader configuration with its includes. One that is absent
// or unreadable gives no directories, as it gives the loader none.
func (l *libraries) readConf(name string, depth int) {
	f, err := os.Open(l.host(name))
	if err != nil || depth > 8 {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "include":
			for _, pattern := range fields[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(name), pattern)
				}
				for _, file := range l.glob(pattern) {
					l.readConf(file, depth+1)
				}
			}
		default:
			l.directories = append(l.directories, fields[0])
		}
	}
}

// host gives the place of a path below the root, with its links followed
// inside the root. A path that does not exist comes back as it would be.
func (l *libraries) host(name string) string {
	done, todo := "/", name
	for hops := 0; todo != "" && hops < 64; {
		first, rest, _ := strings.Cut(strings.TrimLeft(todo, "/"), "/")
		next := filepath.Join(done, first)
		target, err := os.Readlink(filepath.Join(l.root, next))
		switch {
		case err != nil:
			done, todo = next, rest
		case filepath.IsAbs(target):
			done, todo = "/", target+"/"+rest
			hops++
		default:
			todo = target + "/" + rest
			hops++
		}
	}
	return filepath.Join(l.root, done)
}

func (l *libraries) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(l.root, pattern)) // a bad pattern matches nothing
	for i, name := range found {
		found[i] = filepath.Join("/", strings.TrimPrefix(name, filepath.Clean(l.root)))
	}
	return found
}

// program is what the dynamic loader wants to know of an ELF file.
type program struct {
	machine elf.Machine
	class   elf.Class
	interp  string
	needed  []string
	opens   [][]string // by dlopen: of each list one, where there is one
	runPath []string
}

// errNotELF is for files that need no libraries: scripts, data.
var errNotELF = errors.New("not an ELF file")

func readProgram(host string) (program, error) {
	f, err := elf.Open(host)
	if err != nil {
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
			return program{}, err
		}
		return program{}, fmt.Errorf("%s: %w (%w)", host, errNotELF, err)
	}
	defer f.Close()
	p := program{machine: f.Machine, class: f.Class}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			name := make([]byte, min(segment.Filesz, 4096))
			if _, err := segment.ReadAt(name, 0); err != nil {
				return p, fmt.Errorf("%s: interpreter: %w", host, err)
			}
			p.interp = strings.TrimRight(string(name), "\x00")
		}
	}
	if p.needed, err = f.DynString(elf.DT_NEEDED); err != nil {
		return p, fmt.Errorf("%s: needed libraries: %w", host, err)
	}
	p.opens = readDlopen(f)
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		paths, err := f.DynString(tag)
		if err != nil {
			return p, fmt.Errorf("%s: run path: %w", host, err)
		}
		for _, list := range paths {
			p.runPath = append(p.runPath, strings.Split(list, ":")...)
		}
	}
	return p, nil
}

// of lists the files that a program needs, the loader first, each path as it
// is seen below the root. A static program, a script or data needs none. Libraries that
// a program opens while it runs are listed where they are installed, because it works without them.
func (l *libraries) of(name string) ([]string, error) {
	var found []string
	var visit func(name string) error
	visit = func(name string) error {
		p, err := readProgram(l.host(name))
		if errors.Is(err, errNotELF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.interp != "" && !slices.Contains(found, p.interp) {
			found = append(found, p.interp)
		}
		for _, soname := range p.needed {
			lib, err := l.find(soname, p, filepath.Dir(name))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if slices.Contains(found, lib) {
				continue
			}
			found = append(found, lib)
			if err := visit(lib); err != nil {
				return err
			}
		}
		for _, sonames := range p.opens {
			lib := l.findOne(sonames, p, filepath.Dir(name))
			if lib == "" || slices.Contains(found, lib) {
				continue
			}
			found = append(found, lib)
			if err := visit(lib); err != nil {
				return err
			}
		}
		return nil
	}
	return found, visit(name)
}

// findOne gives the first of several libraries that is installed, or nothing.
func (l *libraries) findOne(sonames []string, p program, origin string) string {
	for _, soname := range sonames {
		if lib, err := l.find(soname, p, origin); err == nil {
			return lib
		}
	}
	return ""
}

// find gives the first file of that name that is for the same machine.
func (l *libraries) find(soname string, p program, origin string) (string, error) {
	if strings.Contains(soname, "/") {
		return soname, nil
	}
	var directories []string
	for _, directory := range p.runPath {
		directory = strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(directory)
		if filepath.IsAbs(directory) {
			directories = append(directories, filepath.Clean(directory))
		}
	}
	for _, directory := range append(directories, l.directories...) {
		name := filepath.Join(directory, soname)
		f, err := elf.Open(l.host(name))
		if err != nil {
			continue
		}
		f.Close()
		if f.Machine == p.machine && f.Class == p.class {
			return name, nil
		}
	}
	return "", fmt.Errorf("needs the library %s, which is not here: %w", soname, fs.ErrNotExist)
}
