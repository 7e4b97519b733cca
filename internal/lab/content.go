package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// File is something of the host to put into the guest.
type File struct {
	Host     string // a file or directory; a link is followed
	Guest    string // its absolute path there
	Programs bool   // bring the libraries of a dynamically linked program too
}

// GuestProgram finds the kmodtrace binary that becomes the guest's first
// process: $KMODTRACE_GUEST, the running executable when it is of the guest's
// architecture, or else <directory of the executable>/<arch>/kmodtrace.
func GuestProgram(arch string) (string, error) {
	if name := os.Getenv("KMODTRACE_GUEST"); name != "" {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("KMODTRACE_GUEST: %w", err)
		}
		return name, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find kmodtrace for the guest: %w", err)
	}
	if arch == runtime.GOARCH {
		return self, nil
	}
	name := filepath.Join(filepath.Dir(self), arch, "kmodtrace")
	if _, err := os.Stat(name); err != nil {
		return "", fmt.Errorf("find kmodtrace for an %s guest: %w: build it with make guest, or set KMODTRACE_GUEST", arch, err)
	}
	return name, nil
}

// toolsRoot gives the root directory that the guest's tools come from: the host's
// own where it has them, and the ones that are fetched otherwise.
func toolsRoot(ctx context.Context, cache, arch string, progress io.Writer) (string, error) {
	if arch == runtime.GOARCH && hostHasTools() {
		return "/", nil
	}
	return GuestRoot(ctx, cache, arch, progress)
}

// hostHasTools asks for a busybox that needs no libraries, which is what says
// that a distribution means it for this use.
func hostHasTools() bool {
	p, err := readProgram(newLibraries("/").host("/bin/busybox"))
	if err != nil || p.interp != "" {
		return false
	}
	for _, name := range []string{"/bin/kmod", "/bin/dash"} {
		if _, err := os.Stat(name); err != nil {
			return false
		}
	}
	return true
}

// fill puts everything into the image that a run needs.
func (im *image) fill(ctx context.Context, m Machine, task guest.Task) error {
	steps := []func() error{
		func() error { return im.addInit(m) },
		func() error { return im.addTools(ctx, m) },
		func() error { return im.addEtc() },
	}
	if _, ok := userlandSuite(m.Init); ok {
		steps = []func() error{func() error { return im.addUserland(ctx, m) }}
	}
	steps = append(steps,
		func() error { return im.addModules(m) },
		func() error { return im.addFiles(m) },
		func() error { return im.addTask(task) },
	)
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return fmt.Errorf("make the guest's image: %w", err)
		}
	}
	return im.close()
}

const kmodtracePath = "/usr/bin/kmodtrace"

func (im *image) addInit(m Machine) error {
	if err := im.addProgram(m, kmodtracePath); err != nil {
		return err
	}
	return im.symlink(kmodtracePath, guest.InitPath)
}

// addProgram adds the kmodtrace that is the guest's first process.
func (im *image) addProgram(m Machine, to string) error {
	name := m.Program
	if name == "" {
		var err error
		if name, err = GuestProgram(m.Kernel.Arch); err != nil {
			return err
		}
	}
	return im.program(newLibraries("/"), name, to)
}

// addTools adds the shell, kmod and busybox; the guest's init makes their
// links. The shell is dash where there is one: busybox's would run its own insmod.
func (im *image) addTools(ctx context.Context, m Machine) error {
	if m.Bare {
		return nil
	}
	root, err := toolsRoot(ctx, m.Cache, m.Kernel.Arch, m.progress())
	if err != nil {
		return err
	}
	if root != "/" {
		done, err := use(root)
		if err != nil {
			return err
		}
		defer done()
	}
	libs := newLibraries(root)
	if err := im.file(libs.host("/bin/busybox"), guest.Busybox); err != nil {
		return err
	}
	if err := im.program(libs, "/bin/kmod", guest.Kmod); err != nil {
		return err
	}
	switch err := im.program(libs, "/bin/dash", "/usr/bin/dash"); {
	case errors.Is(err, fs.ErrNotExist):
		return im.symlink(guest.Busybox, "/usr/bin/sh")
	case err != nil:
		return err
	}
	return im.symlink("dash", "/usr/bin/sh")
}

// addEtc adds the few files without which programs cannot name a user.
func (im *image) addEtc() error {
	files := []struct {
		name, text string
	}{
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"},
		{"/etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"},
		{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
		{"/etc/hosts", "127.0.0.1 localhost\n"},
	}
	for _, f := range files {
		if err := im.text(f.name, 0o644, []byte(f.text)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/root", "/home/user", "/var", "/etc/modprobe.d", "/proc", "/sys", "/dev", "/run"} {
		if err := im.dir(dir, 0o755); err != nil {
			return err
		}
	}
	return im.dir("/tmp", 0o777|fs.ModeSticky)
}

// addModules adds the kernel's whole module tree, without the links to the
// sources that it was built from. It waits under another name until init moves it:
// a kernel that finds modules while it boots loads some for its own use, whose
// self-tests take seconds under emulation.
//
// What the tree costs a boot, `kmodtrace lab bench` measures; least where its files
// are compressed (from 6.12). Sharing it by virtiofs would save most of that, for a
// daemon that wants root and modules that the guest has to load first: it would no
// longer begin with none.
func (im *image) addModules(m Machine) error {
	if m.Bare || m.NoModules {
		return nil
	}
	skip := func(rel string) bool { return rel == "build" || rel == "source" }
	return im.tree(m.Kernel.Modules, path.Join(guest.ModulesPath, m.Kernel.Release), skip)
}

func (im *image) addFiles(m Machine) error {
	libs := newLibraries("/")
	for _, f := range m.Files {
		if !path.IsAbs(f.Guest) {
			return fmt.Errorf("add %s: %q is not an absolute path in the guest", f.Host, f.Guest)
		}
		if covered(f.Guest, m.Init) {
			return fmt.Errorf("add %s: a file system of the guest covers %s", f.Host, f.Guest)
		}
		host, err := filepath.EvalSymlinks(f.Host)
		if err != nil {
			return fmt.Errorf("add: %w", err)
		}
		info, err := os.Stat(host)
		if err != nil {
			return fmt.Errorf("add: %w", err)
		}
		switch {
		case info.IsDir():
			err = im.tree(host, f.Guest, nil)
		case f.Programs:
			err = im.program(libs, host, f.Guest)
		default:
			err = im.file(host, f.Guest)
		}
		if err != nil {
			return fmt.Errorf("add %s: %w", f.Host, err)
		}
	}
	return nil
}

// covered says whether a file system that the guest mounts would hide the path.
func covered(name, init string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(name), "/"), "/")
	by := []string{"proc", "sys", "dev"}
	if init != "" {
		by = append(by, "run", "tmp")
	}
	return slices.Contains(by, first)
}

func (im *image) addTask(task guest.Task) error {
	data, err := json.Marshal(task)
	if err != nil {
		return err
	}
	return im.text(guest.TaskPath, 0o644, data)
}

// program adds a file found below libs' root, and the libraries that it needs.
func (im *image) program(libs *libraries, name, to string) error {
	name, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if err := im.file(libs.host(name), to); err != nil {
		return err
	}
	needs, err := libs.of(name)
	if err != nil {
		return err
	}
	for _, lib := range needs {
		if im.has(lib) {
			continue
		}
		if err := im.file(libs.host(lib), lib); err != nil {
			return err
		}
		if err := im.exposeLibrary(lib, needs); err != nil {
			return err
		}
	}
	return nil
}

// exposeLibrary makes a library that lies in a directory of its own (found by
// ld.so.conf, which the guest has not) visible beside libc, where every loader
// looks.
func (im *image) exposeLibrary(lib string, needs []string) error {
	for _, other := range needs {
		if path.Base(other) != "libc.so.6" || path.Dir(other) == path.Dir(lib) {
			continue
		}
		if beside := path.Join(path.Dir(other), path.Base(lib)); !im.has(beside) {
			return im.symlink(lib, beside)
		}
	}
	return nil
}
