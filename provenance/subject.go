package provenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ErrNotLookedAt: the file of a load is not there to be looked at, or may not be, or did not
// answer. The error says which.
var ErrNotLookedAt = errors.New("not looked at")

// Subject is the file of one load. It is looked for when first asked about, once, and is
// from then on a descriptor of what was found to be the same file: its path is not
// followed again. All that is asked of it together gets Options.Timeout.
//
// A nil Subject is that of an action without a file. It is safe for use by several
// goroutines, of which one at a time gets an answer.
type Subject struct {
	lookup *Lookup
	file   tracer.File
	known  *Origin // by the event
	job    slots.Job
	began  time.Duration // since boot
	refuse string        // why nothing is looked at

	mu     sync.Mutex
	search *search // of the lookup that is under way, where there is one
	busy   bool
	closed bool
	spent  time.Duration
	stuck  error // of the lookup that had no answer
}

// Find gives the file of a load; nil for what is not a load, or shows no file (init_module).
// Nothing is looked at yet. It must be closed.
func (l *Lookup) Find(a *tracer.Action) *Subject {
	if a.Kind != tracer.Load || a.File == nil {
		return nil
	}
	// A copy: what hangs must not read what its caller writes later.
	with, file := *a, *a.File
	with.File = &file
	s := &Subject{
		lookup: l, file: file, known: fromEvent(&file), began: tracer.SinceBoot(), job: jobOf(a),
		search: &search{Lookup: l, action: &with, origin: fromEvent(&file), fs: fileSystemOf(file.FSMagic)},
	}
	if !mayLoad(a) {
		s.refuse = "its caller may not load modules"
	}
	return s
}

// mayLoad tells whether the kernel lets the caller of a load try. Whoever it does not let
// must not decide what a privileged reader reads, or waits for.
func mayLoad(a *tracer.Action) bool {
	switch who := a.Actor; {
	case a.Call != nil:
		return a.Call.Capable
	case who == nil, who.Namespaces.User == tracer.Namespace{}:
		return true // not known
	default:
		return who.Capabilities.Has(tracer.CapSysModule) && who.Namespaces.User.Initial
	}
}

// User gives the user whose need an action was: of who asked first, where the kernel had it
// made for a request; else of who did it; behind a kernel thread, of who had that made. It is trusted where it is root outside of user
// namespaces.
func User(a *tracer.Action) (uid uint32, trusted bool) {
	who, uid := a.Actor, a.Thread.UID
	for r := a.Requester; r != nil; r = r.Requester {
		who, uid = r.Actor, r.Thread.UID
	}
	if who == nil {
		return uid, uid == 0
	}
	who = who.Behind()
	return who.UID, who.UID == 0 && !elsewhere(who.Namespaces.User)
}

// jobOf says whose slots a load's lookups take: of the user whose need it was, and of the
// device. The machine's own modules have theirs: only root writes where they are, and a
// directory of somebody else on the same device, from which root loaded, may not answer.
func jobOf(a *tracer.Action) slots.Job {
	fs := fileSystemOf(a.File.FSMagic)
	place := fmt.Sprintf("%s %d:%d", fs.name, a.File.Device.Major, a.File.Device.Minor)
	if releaseOf(a.File.Path) != "" && (a.Actor == nil || !elsewhere(a.Actor.Namespaces.Mount)) {
		place += " /lib/modules"
	}
	uid, trusted := User(a)
	return slots.Job{Key: slots.Key{User: uid, Place: place}, Privileged: trusted && !fs.remote()}
}

// elsewhere tells a namespace that is known not to be the machine's first.
func elsewhere(n tracer.Namespace) bool { return n != tracer.Namespace{} && !n.Initial }

// Close gives back what a lookup holds.
func (s *Subject) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.busy && !s.closed {
		s.search.close()
	}
	s.closed = true
}

// ask runs f on the search, unless that has been left behind in an earlier one.
func ask[T any](ctx context.Context, s *Subject, what string, f func(context.Context, *search) T) (T, error) {
	var none T
	left, err := s.begin()
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	job := s.job
	job.What = what
	began := time.Now()
	v, err := slots.Run(ctx, s.lookup.slots, job, func(ctx context.Context) T {
		defer s.end()
		return f(ctx, s.search)
	})
	if err != nil && !errors.Is(err, slots.ErrNoAnswer) { // nothing was begun
		s.end()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent += time.Since(began)
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, slots.ErrFull):
		s.stuck = err
	case errors.Is(err, context.DeadlineExceeded):
		s.stuck = fmt.Errorf("no answer within %s", s.lookup.opts.Timeout)
	default:
		return none, errors.New("the lookup was broken off")
	}
	return none, s.stuck
}

// begin takes the search, and tells how much time is left.
func (s *Subject) begin() (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refuse != "":
		return 0, errors.New(s.refuse)
	case s.stuck != nil:
		return 0, s.stuck
	case s.busy, s.closed:
		return 0, errors.New("the lookup was broken off")
	}
	s.busy = true
	return s.lookup.opts.Timeout - s.spent, nil
}

// end gives the search back: to its Subject, or, after it was left behind, to nobody.
func (s *Subject) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy = false; s.closed {
		s.search.close()
	}
}

// Origin gives what there is to know of where the file comes from.
func (s *Subject) Origin(ctx context.Context) *Origin {
	if s == nil {
		return nil
	}
	if s.refuse != "" {
		o := s.known.clone()
		o.settle(Unchecked, "not looked at: %s", s.refuse)
		return o
	}
	if o := s.lookup.recent.find(s.search.action); o != nil {
		return o
	}
	o, err := ask(ctx, s, "the file", func(_ context.Context, q *search) *Origin {
		q.locate()
		return q.origin.clone()
	})
	if err != nil {
		o = s.known.clone()
		o.settle(Unchecked, "nothing but the event is known: %v", err)
		return o
	}
	if o, err = s.contents(ctx, o); err == nil {
		s.lookup.recent.keep(s.search, s.began, o)
	}
	return o
}

// contents adds to an origin what takes reading.
func (s *Subject) contents(ctx context.Context, o *Origin) (*Origin, error) {
	brief := s.lookup.opts.Brief
	with, err := ask(ctx, s, "the contents of the file", func(ctx context.Context, q *search) *Origin {
		if q.file != nil && !brief {
			q.read(ctx, q.file)
		}
		q.ownerNames()
		return q.origin.clone()
	})
	switch {
	case err != nil:
		o.note("neither its hash nor its package is known: %v", err)
		return o, err
	case brief:
		with.note("its hash, signer and package are not looked up: that is switched off")
		return with, nil
	}
	by, err := ask(ctx, s, "the package of the file", func(ctx context.Context, q *search) *Origin {
		if !q.here || q.remote() {
			return new(Origin)
		}
		path, o := q.action.File.Path, new(Origin)
		o.Package = q.packageOf(ctx, path).compared(q.md5, string(q.origin.SHA256))
		if o.Package == nil && q.origin.State == Same {
			o.DKMS = q.dkmsOf(q.release, path, q.origin.SHA256, q.origin.HashedSize)
		}
		return o
	})
	if err != nil {
		with.note("its package is not known: %v", err)
		return with, err
	}
	with.Package, with.DKMS = by.Package, by.DKMS
	return with, nil
}

// Inspect reads the module in the file. It errs with [ErrNotLookedAt] where that is not
// there to be read, and with what [kmod.Inspect] errs with for one that is not a module.
func (s *Subject) Inspect(ctx context.Context) (*kmod.File, error) {
	type answer struct {
		file *kmod.File
		err  error
	}
	if s == nil {
		return nil, fmt.Errorf("%w: the kernel shows no file", ErrNotLookedAt)
	}
	a, err := ask(ctx, s, "the contents of the file", func(ctx context.Context, q *search) (a answer) {
		a.err = q.open(ctx, func(file io.ReaderAt, size int64) (err error) {
			a.file, err = kmod.InspectReader(file, size, q.action.File.Path)
			return err
		})
		return a
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotLookedAt, err)
	}
	return a.file, a.err
}

// Image gives the module in the file, decompressed. It errs as [Subject.Inspect] does.
func (s *Subject) Image(ctx context.Context) ([]byte, error) {
	type answer struct {
		image []byte
		err   error
	}
	if s == nil {
		return nil, fmt.Errorf("%w: the kernel shows no file", ErrNotLookedAt)
	}
	a, err := ask(ctx, s, "the contents of the file", func(ctx context.Context, q *search) (a answer) {
		a.err = q.open(ctx, func(file io.ReaderAt, size int64) (err error) {
			a.image, err = kmod.ReadImageOf(file, size)
			return err
		})
		return a
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotLookedAt, err)
	}
	return a.image, a.err
}

// CopyTo writes the contents of the file, as they are, compressed where they are. It errs with [ErrNotLookedAt] where
// that is not there to be read, or was changed meanwhile: what was written is nothing then. Where it has had no answer in
// its time, somebody who was left behind may still write.
func (s *Subject) CopyTo(ctx context.Context, to io.Writer) error {
	if s == nil {
		return fmt.Errorf("%w: the kernel shows no file", ErrNotLookedAt)
	}
	failed, err := ask(ctx, s, "the contents of the file", func(ctx context.Context, q *search) error {
		return q.open(ctx, func(file io.ReaderAt, size int64) error {
			_, err := io.Copy(to, io.NewSectionReader(file, 0, size))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotLookedAt, err)
	}
	return failed
}

// open has somebody read the file whose descriptor was found. What is read of a file that
// changes meanwhile says nothing.
func (s *search) open(ctx context.Context, read func(file io.ReaderAt, size int64) error) error {
	s.locate()
	if s.file == nil {
		return fmt.Errorf("%w: %s", ErrNotLookedAt, s.origin.Why)
	}
	f, err := reopen(s.file)
	if err != nil {
		return fmt.Errorf("%w: it cannot be opened: %w", ErrNotLookedAt, err)
	}
	defer f.Close()
	before, err := statOf(f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotLookedAt, err)
	}
	if before.Size > s.opts.MaxSize {
		return fmt.Errorf("%w: it has more than %d bytes", ErrNotLookedAt, s.opts.MaxSize)
	}
	err = read(boundedAt{ctx, f}, before.Size)
	after, changed := statOf(f)
	switch {
	case changed != nil, versionOf(after) != versionOf(before):
		return fmt.Errorf("%w: %w", ErrNotLookedAt, errMoved)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrNotLookedAt, ctx.Err())
	}
	return err
}

// Mode gives the type of the file: as the kernel had it, or else of the inode that is there
// now. It errs with [ErrNotLookedAt].
func (s *Subject) Mode(ctx context.Context) (fs.FileMode, error) {
	if s == nil {
		return 0, fmt.Errorf("%w: the kernel shows no file", ErrNotLookedAt)
	}
	mode := s.file.Mode
	if mode == 0 {
		type answer struct {
			mode uint32
			why  string
		}
		a, err := ask(ctx, s, "the file", func(_ context.Context, q *search) answer {
			q.locate()
			return answer{q.mode, q.origin.Why}
		})
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNotLookedAt, err)
		}
		if mode = a.mode; mode == 0 {
			return 0, fmt.Errorf("%w: %s", ErrNotLookedAt, a.why)
		}
	}
	return typeOf(mode), nil
}

// typeOf translates the type of an inode.
func typeOf(mode uint32) fs.FileMode {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return 0
	case unix.S_IFDIR:
		return fs.ModeDir
	case unix.S_IFIFO:
		return fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return fs.ModeSocket
	case unix.S_IFCHR:
		return fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		return fs.ModeDevice
	case unix.S_IFLNK:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}
