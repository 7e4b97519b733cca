package holders

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// textSources are the files in which the kernel lists users of a module.
type textSources struct {
	root, module string
	resolve      func(fsType string) string
	aliases      map[string]bool // of the module; nil until they are asked for
}

// all asks each of them. A file that is not there has nothing to tell: a kernel
// without the crypto API has no /proc/crypto.
func (s *textSources) all() ([]User, error) {
	var users []User
	var errs []error
	for _, source := range []func() ([]User, error){
		s.holders, s.mounts, s.swaps, s.loopDevices, s.schedulers, s.consoles, s.targets, s.protocols, s.networks, s.crypto, s.programs, s.networkDevices,
	} {
		found, err := source()
		users = append(users, found...)
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return users, errors.Join(errs...)
}

func (s *textSources) path(parts ...string) string {
	return filepath.Join(append([]string{s.root}, parts...)...)
}

// maxText bounds what is read of one file, which a fake root may hold.
const maxText = 64 << 20

// lines calls fn for each line of a file.
func (s *textSources) lines(fn func(line string), parts ...string) error {
	f, err := os.Open(s.path(parts...))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxText))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fn(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

// is tells whether a name is the module's: file and device names have dashes where
// the kernel's spelling has underscores.
func (s *textSources) is(name string) bool {
	return modname.Normal(name) == s.module
}

// holders are the modules that use it.
func (s *textSources) holders() ([]User, error) {
	entries, err := os.ReadDir(s.path("sys/module", s.module, "holders"))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, e := range entries {
		users = append(users, User{Kind: HolderModule, Holds: true, Name: wire.Printable(e.Name())})
	}
	return users, nil
}

// loopDevices are those of loop that have a file: each holds the module, open or
// not.
func (s *textSources) loopDevices() ([]User, error) {
	if s.module != "loop" {
		return nil, nil
	}
	files, err := filepath.Glob(s.path("sys/block/loop*/loop/backing_file"))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, file := range files {
		dir := filepath.Dir(filepath.Dir(file))
		users = append(users, User{
			Kind: LoopDevice, Holds: true, Name: wire.Printable(filepath.Base(dir)),
			Path: wire.Printable(procfs.FirstLine(file)), Device: wire.Printable(procfs.FirstLine(filepath.Join(dir, "dev"))),
		})
	}
	return users, nil
}

// protocols have the count of their sockets in this network namespace, those that
// the kernel made for itself included:
//
//	protocol  size sockets  memory press maxhdr  slab module ...
func (s *textSources) protocols() ([]User, error) {
	var users []User
	err := s.lines(func(line string) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !s.is(fields[7]) {
			return
		}
		if n, err := strconv.Atoi(fields[2]); err == nil && n > 0 {
			users = append(users, User{Kind: Protocol, Holds: true, Name: wire.Printable(fields[0]), Count: n, Detail: "sockets"})
		}
	}, "proc/net/protocols")
	return users, err
}

// crypto lists algorithms in paragraphs of "key : value". One that nobody uses has
// a count of 1.
func (s *textSources) crypto() ([]User, error) {
	var users []User
	var name, module string
	err := s.lines(func(line string) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "name":
			name, module = value, ""
		case "driver":
			name = value
		case "module":
			module = value
		case "refcnt":
			if n, err := strconv.Atoi(value); err == nil && n > 1 && s.is(module) {
				users = append(users, User{Kind: CryptoAlgorithm, Holds: true, Name: wire.Printable(name), Count: n - 1, Detail: "users"})
			}
		}
	}, "proc/crypto")
	return users, err
}

// networkDevices are those that a driver of the module runs, and those whose kind
// has the module's name. They hold no reference: they go with it.
func (s *textSources) networkDevices() ([]User, error) {
	entries, err := os.ReadDir(s.path("sys/class/net"))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, e := range entries {
		dir := s.path("sys/class/net", e.Name())
		driver, _ := os.Readlink(filepath.Join(dir, "device/driver/module"))
		if s.is(filepath.Base(driver)) || s.is(deviceType(filepath.Join(dir, "uevent"))) {
			users = append(users, User{Kind: NetworkDevice, Name: wire.Printable(e.Name()), Detail: "goes with the module"})
		}
	}
	return users, nil
}

// deviceType reads DEVTYPE=bridge.
func deviceType(uevent string) string {
	text, _ := os.ReadFile(uevent)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
			return value
		}
	}
	return ""
}
