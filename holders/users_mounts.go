package holders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/wire"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// maxNamespaces bounds the mount namespaces that are looked into.
const maxNamespaces = 4096

// mounts are the file systems of the module's types, and those on disks that it
// drives. The reference is the file system's, however often it is mounted: one user
// each.
func (s *textSources) mounts() ([]User, error) {
	found := mountSet{types: s.types(), disks: s.disks(), at: make(map[string]int), known: make(map[string]bool)}
	namespaces := s.namespaces()
	var errs []error
	for _, pid := range namespaces {
		err := s.lines(func(line string) { found.add(line, pid) }, "proc", pid, "mountinfo")
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			errs = append(errs, err)
		}
	}
	for i, n := range found.more {
		switch {
		case n == 1:
			found.users[i].Detail += ", also mounted elsewhere"
		case n > 1:
			found.users[i].Detail += fmt.Sprintf(", also mounted at %d other places", n)
		}
	}
	return found.users, errors.Join(errs...)
}

// namespaces names a process for each mount namespace that can be told apart: this
// one's first, then that of process 1, then the others.
func (s *textSources) namespaces() []string {
	entries, _ := os.ReadDir(s.path("proc"))
	pids := []string{"self", "1"}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, e.Name())
		}
	}
	seen := make(map[string]bool)
	var chosen []string
	for i, pid := range pids {
		namespace, err := os.Readlink(s.path("proc", pid, "ns/mnt"))
		if err != nil && i > 1 || seen[namespace] && err == nil || len(chosen) >= maxNamespaces {
			continue
		}
		seen[namespace] = true
		chosen = append(chosen, pid)
	}
	return chosen
}

// mountSet collects mounts by the device of their file system.
type mountSet struct {
	types func(fsType string) bool
	disks func(device string) bool
	users []User
	more  []int           // other places where it is mounted
	at    map[string]int  // index of users, by device
	known map[string]bool // ids of mounts: other processes see the same ones
}

// add takes a line of mountinfo:
//
//	36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw
func (m *mountSet) add(line, pid string) {
	before, after, found := strings.Cut(line, " - ")
	fields, rest := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 6 || len(rest) < 2 || m.known[fields[0]] {
		return
	}
	m.known[fields[0]] = true
	if !m.types(rest[0]) && !m.disks(fields[2]) {
		return
	}
	device := wire.Printable(fields[2])
	if i, ok := m.at[device]; ok {
		m.more[i]++
		return
	}
	m.at[device] = len(m.users)
	m.more = append(m.more, 0)
	u := User{
		Kind: Mounted, Holds: true, Device: device, Path: wire.Printable(unescapeMount(fields[4])),
		Name: wire.Printable(rest[0]), Detail: "from " + wire.Printable(unescapeMount(rest[1])),
	}
	if n, err := strconv.ParseUint(pid, 10, 32); err == nil && n != 1 {
		u.PID = uint32(n)
	}
	m.users = append(m.users, u)
}

// unescapeMount turns \040 back into a blank; the kernel writes blanks, tabs,
// newlines and backslashes so.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// types tells whether a type of file system is the module's. Each type is looked
// up once, and the table of aliases only when a name does not tell.
func (s *textSources) types() func(string) bool {
	answers := make(map[string]bool)
	ask := func(fsType string) bool {
		fsType, _, _ = strings.Cut(fsType, ".") // fuse.sshfs
		switch {
		case s.resolve != nil:
			return s.is(s.resolve(fsType))
		case s.is(fsType):
			return true
		}
		return s.serves("fs-" + fsType)
	}
	return func(fsType string) bool {
		answer, known := answers[fsType]
		if !known {
			answer = ask(fsType)
			answers[fsType] = answer
		}
		return answer
	}
}

// serves tells whether an alias is one of the module's: "alias fs-iso9660 isofs". Where the table
// cannot be read, names have to do.
func (s *textSources) serves(alias string) bool {
	if s.aliases == nil {
		s.aliases = s.readAliases()
	}
	return s.aliases[modname.Normal(alias)]
}

func (s *textSources) readAliases() map[string]bool {
	aliases := make(map[string]bool)
	release, err := tracer.Release()
	if err != nil {
		return aliases
	}
	_ = s.lines(func(line string) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "alias" && s.is(fields[2]) {
			aliases[modname.Normal(fields[1])] = true
		}
	}, "lib/modules", filepath.Base(release), "modules.alias")
	return aliases
}

// disks tells whether a mounted device, by its numbers, is of a disk that a driver
// of the module runs. Each is looked up once.
func (s *textSources) disks() func(string) bool {
	answers := make(map[string]bool)
	return func(device string) bool {
		answer, known := answers[device]
		if !known {
			answer = s.is(s.diskModule(device))
			answers[device] = answer
		}
		return answer
	}
}

// diskModule reads the module from the disk's driver. A partition's directory is in
// its disk's. Disks of loop have no driver.
func (s *textSources) diskModule(device string) string {
	if strings.ContainsAny(device, "/.") {
		return ""
	}
	dir, err := filepath.EvalSymlinks(s.path("sys/dev/block", device))
	if err != nil {
		return ""
	}
	for _, disk := range []string{dir, filepath.Dir(dir)} {
		if module, err := os.Readlink(filepath.Join(disk, "device/driver/module")); err == nil {
			return filepath.Base(module)
		}
		if _, err := os.Stat(filepath.Join(disk, "loop/backing_file")); err == nil {
			return "loop"
		}
	}
	major, _, _ := strings.Cut(device, ":")
	names, _ := s.majors()
	return names[major]
}
