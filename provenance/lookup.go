package provenance

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// The defaults of Options.
const (
	DefaultMaxSize = 64 << 20
	DefaultTimeout = 3 * time.Second
)

// Options change what a Lookup does. Nil is the same as its zero value.
type Options struct {
	Root string // folder that stands for the root folder; "" is /
	// Brief leaves out what takes reading: the hash, the signer and the package.
	Brief bool
	// Remote reads files also of network file systems and FUSE. What they answer now
	// is not what they must have answered the kernel.
	Remote  bool
	MaxSize int64         // of files that are hashed; 0 is DefaultMaxSize
	Timeout time.Duration // of one lookup; 0 is DefaultTimeout
	RPM     string        // the rpm to ask; "" looks for it in PATH, where Root is /
}

// Lookup finds out where files come from. What it had to read is remembered, in
// bounds. It is safe for use by several goroutines.
type Lookup struct {
	opts     Options
	release  string        // of the running kernel
	mount    uint32        // the mount namespace of this process; 0 where not known
	slots    chan struct{} // one is taken by each lookup that has not ended
	recent   recent
	contents contents
	dpkg     dpkg
	rpm      rpm
	names    names
}

// maxPending is how many lookups may be under way, those that hang included.
const maxPending = 8

// NewLookup returns a Lookup.
func NewLookup(opts *Options) *Lookup {
	if opts == nil {
		opts = &Options{}
	}
	l := &Lookup{opts: *opts, slots: make(chan struct{}, maxPending)}
	if l.opts.Root == "" {
		l.opts.Root = "/"
	}
	if l.opts.MaxSize == 0 {
		l.opts.MaxSize = DefaultMaxSize
	}
	if l.opts.Timeout == 0 {
		l.opts.Timeout = DefaultTimeout
	}
	l.release = firstLine(l.path("proc/sys/kernel/osrelease"))
	l.mount = mountNamespace(l.path("proc/self"))
	l.dpkg.root = l.opts.Root
	l.rpm = newRPM(l.opts.Root, l.opts.RPM)
	return l
}

// Of gives the origin of a load's file; nil for what is no load, or shows no file
// (init_module).
func (l *Lookup) Of(ctx context.Context, a *tracer.Action) *Origin {
	if a.Kind != tracer.Load || a.File == nil {
		return nil
	}
	if o := l.recent.find(a); o != nil {
		return o
	}
	began := tracer.SinceBoot()
	known := fromEvent(a.File)
	select {
	case l.slots <- struct{}{}:
	default:
		known.settle(Unchecked, "earlier lookups have had no answer yet")
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	// A copy: what hangs must not read what its caller writes later.
	s := search{Lookup: l, action: copyOf(a), origin: fromEvent(a.File), fs: fileSystemOf(a.File.FSMagic)}
	steps := make(chan *Origin, 2)
	go func() {
		s.run(ctx, steps)
		close(steps)
		<-l.slots
	}()
	why := "nothing but the event is known"
	for {
		select {
		case o, more := <-steps:
			if !more {
				l.recent.keep(&s, began)
				return known
			}
			known, why = o, "its package is not known"
		case <-ctx.Done():
			known.note("%s: %s", why, l.broken(ctx))
			return known
		}
	}
}

func (l *Lookup) broken(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "no answer within " + l.opts.Timeout.String()
	}
	return "the lookup was broken off"
}

// copyOf copies what a search looks at.
func copyOf(a *tracer.Action) *tracer.Action {
	with, file := *a, *a.File
	with.File = &file
	return &with
}

// search is one lookup.
type search struct {
	*Lookup
	action *tracer.Action
	origin *Origin
	fs     fileSystem

	sought bool     // loader is what was found
	loader *process // see [search.process]
}

// run gives what it knows of the file, and then what there is about its package too.
func (s *search) run(ctx context.Context, steps chan<- *Origin) {
	o := s.origin
	o.Removable = s.removable(s.action.File.Device)
	o.Root = s.onRoot()
	f, here := s.find()
	if f != nil {
		defer f.Close()
		s.read(ctx, f)
	}
	if o.Owner != nil {
		o.Owner.User, o.Owner.Group = s.names.user(o.Owner.UID), s.names.group(o.Owner.GID)
	}
	if here {
		s.place()
		if !s.opts.Brief && !s.remote() {
			without := *o
			steps <- &without
			o.Package = s.packageOf(ctx, s.action.File.Path)
		}
	}
	steps <- o
}

// place adds what the path says.
func (s *search) place() {
	release := releaseOf(s.action.File.Path)
	if s.origin.InTree = release != "" && release == s.release; !s.origin.InTree {
		s.origin.OtherRelease = release
	}
}

// packageOf asks each package manager that has a database here.
func (l *Lookup) packageOf(ctx context.Context, path string) *Package {
	if p := l.dpkg.owner(path); p != nil {
		return p
	}
	return l.rpm.owner(ctx, path)
}

func (l *Lookup) path(name ...string) string {
	return filepath.Join(append([]string{l.opts.Root}, name...)...)
}
