package kbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// products gives the modules that were built, by their paths below the mirror's directory:
// those that are listed, for what was a module once may still lie there.
func (m *mirror) products() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(m.directory, "modules.order"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var modules []string
	for _, entry := range strings.Fields(string(text)) {
		entry = strings.TrimPrefix(entry, m.directory+"/") // until 6.12
		modules = append(modules, strings.TrimSuffix(entry, filepath.Ext(entry))+".ko")
	}
	if len(modules) == 0 {
		return nil, &FailedError{Complaint: ErrNoModules.Error() + ": kbuild reads the Makefile or Kbuild itself, and found no obj-m in it", Err: ErrNoModules,
			Advice: "for a module hello.o, obj-m := hello.o; name the directory whose Makefile says so"}
	}
	return modules, nil
}

// checkOut finds out before the build whether its products can be written.
func (b *build) checkOut() error {
	out := b.out()
	for out != filepath.Dir(out) { // it will be made when there is something to put there
		_, err := os.Lstat(out) // a link to nothing is in the way too
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			break
		}
		out = filepath.Dir(out)
	}
	err := unix.Access(out, unix.W_OK)
	if info, statErr := os.Stat(out); statErr == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		err = &Error{Op: "write to", Path: out, Err: err}
		if b.Out == "" {
			return &FailedError{Complaint: err.Error(), Advice: "--out DIR puts the modules elsewhere", Err: err}
		}
		return err
	}
	return nil
}

// out is the directory for the modules, as the user would write it.
func (b *build) out() string {
	if b.Out != "" {
		return filepath.Clean(b.Out)
	}
	return b.sources.shown
}

// deliver puts the modules where the user wants them: in the directory of the sources at the
// place where make would, else all into the one directory. All are written before the first is
// put in its place.
func (b *build) deliver(modules []string) error {
	if err := os.MkdirAll(b.out(), 0o755); err != nil {
		return plainPathError("write to", b.out(), err)
	}
	var d delivery
	defer d.undo()
	var delivered []Module
	taken := map[string]string{}
	for _, module := range modules {
		to := filepath.Join(b.out(), module)
		if b.Out != "" {
			to = filepath.Join(b.out(), filepath.Base(module))
		}
		if other := taken[to]; other != "" {
			return &FailedError{Complaint: fmt.Sprintf("%s and %s would be one file in %s", other, module, b.out())}
		}
		taken[to] = module
		m, err := d.module(filepath.Join(b.mirror.directory, module), to)
		if err != nil {
			return err
		}
		delivered = append(delivered, m)
	}
	from, to := filepath.Join(b.mirror.directory, "Module.symvers"), ""
	if info, err := os.Stat(from); err == nil && info.Size() > 0 {
		to = filepath.Join(b.out(), "Module.symvers")
		if _, _, err := d.file(from, to); err != nil {
			return err
		}
	}
	if err := d.commit(); err != nil {
		return err
	}
	b.result.Modules, b.result.Symvers = delivered, to // not before they are there
	b.result.Notes = append(b.result.Notes, twins(delivered)...)
	return nil
}

// twins notes modules that are one to the kernel, to which - and _ are the same in a name.
func twins(modules []Module) (notes []string) {
	first := map[string]string{}
	for _, m := range modules {
		if other := first[m.Name]; other != "" {
			notes = append(notes, fmt.Sprintf("%s and %s are both module %s: the kernel takes one of them at a time", other, m.Path, m.Name))
			continue
		}
		first[m.Name] = m.Path
	}
	return notes
}

// delivery is files that are written under other names, until all are.
type delivery struct{ names map[string]string } // from the other name to the right one

// module delivers a module, and tells what it is.
func (d *delivery) module(from, to string) (Module, error) {
	data, changed, err := d.file(from, to)
	if err != nil {
		return Module{}, err
	}
	file, err := kmod.Parse(data)
	if err != nil {
		return Module{}, err
	}
	return Module{Name: file.Name, Path: to, Size: int64(len(data)), Vermagic: strings.TrimSpace(file.Value("vermagic")), Changed: changed}, nil
}

// file delivers a file, unless the same is there already: its time tells others
// whether to look at it again.
func (d *delivery) file(from, to string) (data []byte, changed bool, err error) {
	if data, err = os.ReadFile(from); err != nil {
		return nil, false, err
	}
	info, err := os.Stat(to)
	switch {
	case err == nil && info.IsDir():
		return nil, false, &Error{Op: "write", Path: to, Err: unix.EISDIR}
	case err == nil && info.Mode().IsRegular(): // a pipe of that name would be waited for
		if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, data) {
			return data, false, nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".kmodtrace-build-")
	if err != nil {
		return nil, false, plainPathError("write", to, err)
	}
	if d.names == nil {
		d.names = map[string]string{}
	}
	d.names[f.Name()] = to
	_, err = io.Copy(f, bytes.NewReader(data))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return nil, false, plainPathError("write", to, err)
	}
	return data, true, nil
}

// commit gives the files their names.
func (d *delivery) commit() error {
	for name, to := range d.names {
		if err := os.Rename(name, to); err != nil {
			return plainPathError("write", to, err)
		}
		delete(d.names, name)
	}
	return nil
}

// undo removes what was not given its name.
func (d *delivery) undo() {
	for name := range d.names {
		os.Remove(name)
	}
}
