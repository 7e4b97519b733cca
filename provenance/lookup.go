package provenance

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// The defaults of Options.
const (
	DefaultMaxSize = 64 << 20
	DefaultTimeout = 3 * time.Second
)

// Options change what a Lookup does. Nil is the same as its zero value.
type Options struct {
	Root string // directory that stands for the root directory; "" is /
	// Brief leaves out what takes reading: the hash, the signer and the package. The
	// origin says so.
	Brief bool
	// Remote reads files also of network file systems and FUSE. What they answer now
	// is not what they must have answered the kernel.
	Remote  bool
	MaxSize int64 // of files that are read; 0 is DefaultMaxSize
	// Timeout is for all looks at the file of one load together; 0 is DefaultTimeout.
	Timeout time.Duration
	RPM     string // the rpm to ask; "" looks for it in PATH, where Root is /
}

// Lookup finds out where files come from. What it had to read is remembered, in
// bounds. It is safe for use by several goroutines.
type Lookup struct {
	opts     Options
	release  string // of the running kernel
	mount    uint32 // the mount namespace of this process; 0 where not known
	slots    *slots.Slots
	recent   recent
	contents contents
	dpkg     dpkg
	rpm      rpm
	names    names
	mounts   mountTable
	// open is openBelow; tests have one that hangs.
	open func(root, path string) (*os.File, error)
}

// How many lookups may be under way, those that hang included: on one device, for one
// user; in all; and of these, only for root's loads from file systems of this kernel.
const (
	maxEach     = 4
	maxPending  = 48
	maxReserved = 16
)

// NewLookup returns a Lookup.
func NewLookup(opts *Options) *Lookup {
	if opts == nil {
		opts = &Options{}
	}
	l := &Lookup{
		opts: *opts, open: openBelow,
		slots: slots.New(slots.Options{Each: maxEach, Total: maxPending, Reserved: maxReserved}),
	}
	if l.opts.Root == "" {
		l.opts.Root = "/"
	}
	if l.opts.MaxSize == 0 {
		l.opts.MaxSize = DefaultMaxSize
	}
	if l.opts.Timeout == 0 {
		l.opts.Timeout = DefaultTimeout
	}
	l.release = procfs.FirstLine(l.path("proc/sys/kernel/osrelease"))
	l.mount = mountNamespace(l.path("proc/self"))
	l.dpkg.root = l.opts.Root
	l.rpm = newRPM(l.opts.Root, l.opts.RPM)
	return l
}

// Of gives the origin of a load's file; nil for what is not a load, or shows no file
// (init_module).
func (l *Lookup) Of(ctx context.Context, a *tracer.Action) *Origin {
	s := l.Find(a)
	defer s.Close()
	return s.Origin(ctx)
}

// Hung is a lookup that has had no answer in its time, and still waits for one: what is
// looked at, where, for whose action (a uid of the first user namespace), and since when.
type Hung = slots.Hung

// Hung gives those that hang, the oldest first. As many as have one user and one place
// keep further lookups of that user and place from being made.
func (l *Lookup) Hung() []Hung { return l.slots.Hung() }

// search is the looking at one file. It is for one goroutine.
type search struct {
	*Lookup
	action *tracer.Action
	origin *Origin
	fs     fileSystem

	sought bool     // loader is what was found
	loader *process // see [search.process]

	located bool
	file    *os.File // by O_PATH; nil where there is none to be had
	here    bool     // the path is one of this mount namespace
	mode    uint32   // st_mode of the very inode, whatever it is; 0 for not known
	md5     string   // of the contents, in hexadecimal; empty where there is no hash
}

// locate finds the file, once, and what is known of its place.
func (s *search) locate() {
	if s.located {
		return
	}
	s.located = true
	o := s.origin
	o.Removable = s.removable(s.action.File.Device)
	o.Root = s.onRoot()
	s.file, s.here = s.find()
	if s.here {
		s.place()
	}
}

func (s *search) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// ownerNames adds the names of its owners.
func (s *search) ownerNames() {
	if o := s.origin.Owner; o != nil {
		o.User, o.Group = s.names.user(o.UID), s.names.group(o.GID)
	}
}

// place adds what the path says.
func (s *search) place() {
	release := releaseOf(s.action.File.Path)
	if s.origin.InTree = release != "" && release == s.release; !s.origin.InTree {
		s.origin.OtherRelease = release
	}
}

// packageOf asks each package manager that has a database here.
func (l *Lookup) packageOf(ctx context.Context, path string) *packaged {
	if p := l.dpkg.owner(path); p != nil {
		return p
	}
	return l.rpm.owner(ctx, path)
}

func (l *Lookup) path(name ...string) string {
	return filepath.Join(append([]string{l.opts.Root}, name...)...)
}
