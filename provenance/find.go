package provenance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// finding is what is at one place.
type finding struct {
	state State
	why   string
	file  *os.File // opened by O_PATH; only of a file that is the same
}

func found(s State, format string, args ...any) finding {
	return finding{state: s, why: fmt.Sprintf(format, args...)}
}

func (f finding) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// find looks for the file, and settles what has become of it. It gives a descriptor
// (O_PATH) of the very file, nil where there is none to be had, and tells whether the
// path is one of this mount namespace.
func (s *search) find() (file *os.File, here bool) {
	f, o := s.action.File, s.origin
	defer func() { s.loader.close() }()
	foreign := s.foreign()
	named := !f.Memfd && !f.Deleted && !f.PathCut && filepath.IsAbs(f.Path)
	var at finding
	switch {
	case s.remote():
		o.settle(Unchecked, "%s files are not looked at: it is not this kernel that answers for them", o.FileSystem)
		return nil, named && !foreign
	case named:
		at, here = s.byName(foreign)
	case f.Memfd:
		at = found(Gone, "it never had a name")
	case f.Deleted:
		at = found(Gone, "its name was gone when it was loaded")
	default:
		at = found(Unchecked, "its whole path is not known")
	}
	o.State, o.Why = at.state, at.why
	if at.file != nil || at.state == Changed {
		return at.file, here
	}
	// What its name does not lead to, the descriptor of its loader may.
	held := s.byDescriptor()
	lost := !named || at.state == Unchecked || at.state == Unreadable
	if lost && (held.state == Same || held.state == Changed) {
		o.State, o.Why = held.state, held.why
	}
	return held.file, here
}

func (s *search) remote() bool { return s.fs.remote() && !s.opts.Remote }

// byName looks at the path, in this mount namespace first: many others share its file
// systems, and what is the same file here can also be asked for its package. A path is
// from the root of its namespace, where the root of a process may be elsewhere.
func (s *search) byName(foreign bool) (at finding, here bool) {
	at = s.at(s.opts.Root)
	if at.state == Same {
		return at, true
	}
	p := s.process()
	if !foreign && (p == nil || p.mount != 0) {
		return at, true
	}
	if !foreign { // not known to be
		there := s.at(p.path("root"))
		if there.state == Same || there.state == Changed {
			return there, false
		}
		there.close()
		return at, true
	}
	at.close()
	for _, root := range s.rootsOf() {
		if _, err := os.Stat(root); err == nil {
			return s.at(root), false
		}
	}
	return found(Unchecked, "it was opened in another mount namespace, which cannot be looked into any more"), false
}

// at looks at the file's path below a root directory.
func (s *search) at(root string) finding {
	path := s.action.File.Path
	if name := s.remoteOn(root, path); name != "" && !s.opts.Remote {
		return found(Unchecked, "a file system of type %s is mounted on its path now, and is not looked at", name)
	}
	f := s.look(s.Lookup.open(root, path))
	if bytes, ok := unprintable(path); ok && f.state == Gone {
		return s.look(s.Lookup.open(root, bytes))
	}
	return f
}

// unprintable gives back the bytes of a path that is not UTF-8, which an event has as
// \xNN; false for a path without such.
func unprintable(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if rest := path[i:]; len(rest) >= 4 && rest[:2] == `\x` {
			if c, err := strconv.ParseUint(rest[2:4], 16, 8); err == nil && c >= 0x80 {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String(), b.Len() != len(path)
}

// openBelow opens a path below a root by O_PATH, which does nothing to what is
// there: it neither waits for the other end of a pipe nor wakes a device. The kernel's
// path has no symbolic links in it: one that is there now was not.
func openBelow(root, path string) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	dir, name := unix.AT_FDCWD, path
	if root != "/" { // out of which nothing leads
		var err error
		if dir, err = unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("%w: %v", errNoRoot, err) // which says nothing about what is below
		}
		defer unix.Close(dir)
		how.Resolve |= unix.RESOLVE_BENEATH
		if name = strings.TrimLeft(path, "/"); name == "" {
			name = "."
		}
	}
	fd, err := unix.Openat2(dir, name, &how)
	for try := 0; try < 8 && (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)); try++ {
		fd, err = unix.Openat2(dir, name, &how) // something on the way was renamed meanwhile
	}
	if errors.Is(err, unix.ENOSYS) { // by a filter of system calls
		fd, err = unix.Openat(dir, name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

var errNoRoot = errors.New("its root is not there any more")

// look tells whether what was opened is the file.
func (s *search) look(f *os.File, err error) finding {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return found(Gone, "there is nothing at its path now")
	case errors.Is(err, unix.ELOOP):
		return found(Replaced, "a symbolic link is on its path now")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return found(Unreadable, "its path may not be followed: %v", err)
	case err != nil:
		return found(Unchecked, "its path cannot be followed: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return found(Unreadable, "it cannot be looked at: %v", err)
	}
	if st.Ino == s.action.File.Inode && (s.fs.ownDevice || deviceOf(&st) == s.action.File.Device) {
		s.mode = st.Mode
	}
	state, why := s.compare(f, &st)
	if state != Same {
		f.Close()
		return finding{state: state, why: why}
	}
	if s.origin.Owner == nil {
		s.origin.ownedBy(st.Uid, st.Gid, st.Mode)
	}
	return finding{state: Same, file: f}
}

// compare tells whether a file is the one that the kernel had.
func (s *search) compare(f *os.File, st *unix.Stat_t) (State, string) {
	was := s.action.File
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		kind := "something else"
		if info, err := f.Stat(); err == nil {
			kind = kindOf(info.Mode())
		}
		return Replaced, "at its path is " + kind + " now"
	case st.Ino != was.Inode, !s.fs.ownDevice && deviceOf(st) != was.Device:
		return Replaced, "at its path is another file now"
	case st.Size < 0 || uint64(st.Size) != was.Size:
		return Changed, fmt.Sprintf("it had %d bytes, and has %d now", was.Size, st.Size)
	case was.ChangeTimeNS != 0 && st.Ctim.Nano() != was.ChangeTimeNS:
		return Changed, "its contents or attributes have changed since"
	case was.ChangeTimeNS != 0:
		return Same, ""
	case s.fs.ownDevice:
		return Unchecked, "neither its device nor its time of change can be compared"
	}
	// By the clock alone. It says too little where the change was about then, and
	// when the clock was set since.
	began := s.action.Time
	if began.IsZero() || !time.Unix(st.Ctim.Unix()).Before(began) {
		return Unchecked, "it is not known whether it has changed since"
	}
	return Same, ""
}

// byDescriptor looks at what the loader's descriptor is, while that has it open: a
// memfd and a deleted file have no other way to them.
func (s *search) byDescriptor() finding {
	call := s.action.Call
	p := s.process()
	if p == nil || call == nil || call.Call != tracer.FinitModule || call.FD < 0 {
		return finding{state: Unchecked}
	}
	fd, err := unix.Open(p.path("fd", strconv.Itoa(int(call.FD))), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return finding{state: Unchecked}
	}
	return s.look(os.NewFile(uintptr(fd), s.action.File.Path), nil)
}
