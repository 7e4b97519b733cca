package holders

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Refs watches who takes and drops references to one module: the balance of
// module_get and module_put by call site and process, from when it was opened.
// References that were taken before are in the module's count and not in the
// balance.
//
// Those tracepoints fire on paths that other work uses (an open, a socket, for
// some modules a packet); they are attached only as long as this is open, and
// return at once for other modules. The methods may be called from any goroutine.
type Refs struct {
	module string
	began  time.Time
	before int // references that it had then
	coll   *ebpf.Collection
	links  []link.Link

	mu      sync.Mutex
	closed  bool
	symbols tracer.Symbols
	named   map[tracer.Address]Call
	final   refsTotal
	sites   []Site
}

// OpenRefs watches a module, which must be loaded. When it returns, everything
// that is taken and dropped from now on will be counted. Errors are those of
// [tracer.Open], [ErrNotLoaded] and [ErrNotCounted].
func OpenRefs(module string) (*Refs, error) {
	if err := haveReading(); err != nil {
		return nil, err
	}
	if _, err := RefCount(module); err != nil {
		return nil, err
	}
	spec, err := loadRefs()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	r := &Refs{module: module, named: make(map[tracer.Address]Call)}
	if r.coll, err = loadWanted(spec, module); err != nil {
		return nil, err
	}
	if err := r.attach(spec); err != nil {
		return nil, errors.Join(err, r.detach())
	}
	// It may have gone before its end could be seen.
	if r.before, err = RefCount(module); err != nil {
		return nil, errors.Join(err, r.detach())
	}
	r.began = time.Now()
	// What unloads while it is watched keeps its names. Without symbols there are
	// addresses.
	_ = r.symbols.Read()
	return r, nil
}

// attach begins with the module's end: so nothing is counted of another one that
// comes after it.
func (r *Refs) attach(spec *ebpf.CollectionSpec) error {
	for _, name := range []string{refsProgTracepointModuleFree, refsProgTracepointModuleGet, refsProgTracepointModulePut} {
		target := spec.Programs[name].AttachTo
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: target, Program: r.coll.Programs[name]})
		if err != nil {
			return fmt.Errorf("attach to tracepoint %s: %w", target, err)
		}
		r.links = append(r.links, l)
	}
	return nil
}

// Module is the name that is watched.
func (r *Refs) Module() string { return r.module }

// CountBefore is how many references the module had when the watching began.
func (r *Refs) CountBefore() int { return r.before }

// Close detaches; what was counted can still be asked for. Calling it again does
// nothing.
func (r *Refs) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	errs := r.detachLinks()
	var err error
	r.final, err = r.readTotal()
	errs = append(errs, err)
	r.sites, err = r.readSites()
	errs = append(errs, err)
	r.coll.Close()
	return errors.Join(errs...)
}

func (r *Refs) detach() error {
	errs := r.detachLinks()
	r.coll.Close()
	return errors.Join(errs...)
}

func (r *Refs) detachLinks() []error {
	var errs []error
	for _, l := range slices.Backward(r.links) {
		errs = append(errs, l.Close())
	}
	r.links = nil
	return errs
}
