package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// maxModuleName is the kernel's MODULE_NAME_LEN without the final NUL.
const maxModuleName = 55

// What keeps one module's references from being asked about.
var (
	// ErrNotLoaded: the kernel has no module of that name in memory.
	ErrNotLoaded = errors.New("not loaded")
	// ErrNotCounted: it has, and counts no references to it: it is a part of the
	// kernel image, or this kernel cannot unload.
	ErrNotCounted = errors.New("the kernel counts no references to it: it is built in, or nothing can be unloaded here")
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
	coll   *ebpf.Collection
	links  []link.Link

	mu      sync.Mutex
	closed  bool
	symbols Symbols
	named   map[Address]RefCall
	final   refsTotal
	sites   []RefSite
}

// RefSite is what one process did at one place in the kernel.
type RefSite struct {
	Call RefCall `json:"call"`
	// PID, in the first pid namespace, and Start, since boot, name the process;
	// Comm is its thread's name. What happens in an interrupt is put down to the
	// process that it hit.
	PID   uint32        `json:"pid"`
	Start time.Duration `json:"start_boottime_ns"`
	Comm  string        `json:"comm"`
	Gets  uint64        `json:"gets"`
	Puts  uint64        `json:"puts"`
	// Balance is gets less puts: below zero where one drops what another took, or
	// what was taken before.
	Balance int64 `json:"balance"`
	// Last is when either last happened, since boot.
	Last time.Duration `json:"last_boottime_ns"`
}

// RefCall is the place that a reference was taken or dropped at: where
// try_module_get, __module_get or module_put return to. Function and Module are
// empty where the symbol is not known.
type RefCall struct {
	Address  Address `json:"address"`
	Function string  `json:"function,omitempty"`
	Offset   uint64  `json:"offset,omitempty"`
	Module   string  `json:"module,omitempty"` // empty for the kernel itself
}

// String gives the symbol, or the address where there is none.
func (c RefCall) String() string {
	if c.Function == "" {
		return c.Address.String()
	}
	return Symbol{Name: c.Function, Offset: c.Offset, Module: c.Module}.String()
}

// RefTotals are the sums over all sites.
type RefTotals struct {
	Gets uint64 `json:"gets"`
	Puts uint64 `json:"puts"`
	// Lost counts the gets and puts that are missing among the sites for want of
	// room, and the times that a program did not run where the kernel counts
	// those (from 5.12): these are missing in Gets and Puts too.
	Lost uint64 `json:"lost"`
	// Unloaded says that the module went while it was watched.
	Unloaded bool `json:"unloaded"`
}

// OpenRefs watches a module, which must be loaded. When it returns, everything
// that is taken and dropped from now on will be counted. Errors are those of
// [Open], [ErrNotLoaded] and [ErrNotCounted].
func OpenRefs(module string) (_ *Refs, err error) {
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
	r := &Refs{module: module, named: make(map[Address]RefCall)}
	if r.coll, err = loadWanted(spec, module); err != nil {
		return nil, err
	}
	if err := r.attach(spec); err != nil {
		return nil, errors.Join(err, r.detach())
	}
	// What unloads while it is watched keeps its names. Without symbols there are
	// addresses.
	_ = r.symbols.Read()
	return r, nil
}

// haveReading asks for what reading the kernel's memory takes; kprobes are not
// among it.
func haveReading() error {
	for _, have := range []func() error{HaveModules, HaveBTF, HavePrivilege, HaveNoLockdown} {
		if err := have(); err != nil {
			return err
		}
	}
	return nil
}

// loadWanted loads the programs for one module.
func loadWanted(spec *ebpf.CollectionSpec, module string) (*ebpf.Collection, error) {
	var name [maxModuleName + 1]byte
	copy(name[:maxModuleName], module)
	if err := spec.Variables["wanted_name"].Set(name); err != nil {
		return nil, fmt.Errorf("set module name: %w", err)
	}
	// 5.10 accounts BPF memory to RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("remove memory lock limit: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	return coll, nil
}

// attach leaves the module's end for the last: what is counted before it is seen.
func (r *Refs) attach(spec *ebpf.CollectionSpec) error {
	for _, name := range []string{"tracepoint_module_free", "tracepoint_module_get", "tracepoint_module_put"} {
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

// Balance gives the sites as they are now, the largest balance first. After
// Close, as they were then.
func (r *Refs) Balance() ([]RefSite, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return slices.Clone(r.sites), nil
	}
	return r.readSites()
}

func (r *Refs) readSites() ([]RefSite, error) {
	sites := []RefSite{}
	var site refsSite
	var balance refsBalance
	all := r.coll.Maps["sites"].Iterate()
	for all.Next(&site, &balance) {
		sites = append(sites, RefSite{
			Call:    RefCall{Address: Address(site.Ip)},
			PID:     site.Pid,
			Start:   time.Duration(site.Start),
			Comm:    cString(site.Comm[:]),
			Gets:    balance.Gets,
			Puts:    balance.Puts,
			Balance: int64(balance.Gets - balance.Puts),
			Last:    time.Duration(balance.Last),
		})
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read sites: %w", err)
	}
	r.name(sites)
	slices.SortFunc(sites, compareSites)
	return sites, nil
}

func compareSites(a, b RefSite) int {
	return cmp.Or(cmp.Compare(b.Balance, a.Balance), cmp.Compare(b.Gets, a.Gets), cmp.Compare(b.Puts, a.Puts),
		cmp.Compare(a.PID, b.PID), cmp.Compare(a.Call.Address, b.Call.Address), cmp.Compare(a.Comm, b.Comm))
}

// name names the calls, each once. A module that was loaded since the symbols were
// read has its own: then they are read again, at most once.
func (r *Refs) name(sites []RefSite) {
	fresh := false
	for i := range sites {
		address := sites[i].Call.Address
		call, known := r.named[address]
		if !known {
			symbol, found := r.symbols.FindCall(address)
			if !found && !fresh {
				fresh = true
				if r.symbols.Read() == nil {
					symbol, _ = r.symbols.FindCall(address)
				}
			}
			call = RefCall{Address: address, Function: symbol.Name, Offset: symbol.Offset, Module: symbol.Module}
			r.named[address] = call
		}
		sites[i].Call = call
	}
}

// Totals gives the sums as they are now, or were at Close.
func (r *Refs) Totals() (RefTotals, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total, err := r.final, error(nil)
	if !r.closed {
		total, err = r.readTotal()
	}
	return RefTotals{Gets: total.Gets, Puts: total.Puts, Lost: total.Untold, Unloaded: total.Freed != 0}, err
}

func (r *Refs) readTotal() (refsTotal, error) {
	var total refsTotal
	if err := r.coll.Maps["totals"].Lookup(uint32(0), &total); err != nil {
		return total, fmt.Errorf("read totals: %w", err)
	}
	for _, p := range r.coll.Programs {
		if stats, err := p.Stats(); err == nil {
			total.Untold += stats.RecursionMisses
		}
	}
	return total, nil
}

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
	for _, l := range r.links {
		errs = append(errs, l.Close())
	}
	r.links = nil
	return errs
}

// RefCount reads how many references a loaded module has, without the one that
// the kernel itself keeps of it. Errors are [ErrNotLoaded] and [ErrNotCounted].
func RefCount(module string) (int, error) { return refCount("/", module) }

func refCount(root, module string) (int, error) {
	if err := checkModuleName(module); err != nil {
		return 0, err
	}
	dir := filepath.Join(root, "sys/module", module)
	text, err := os.ReadFile(filepath.Join(dir, "refcnt"))
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrNotExist):
		return 0, fmt.Errorf("read reference count of %s: %w", module, err)
	default:
		if _, err := os.Stat(dir); err == nil {
			return 0, fmt.Errorf("%s: %w", module, ErrNotCounted)
		}
		return 0, fmt.Errorf("%s: %w", module, ErrNotLoaded)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read reference count of %s: %w", module, err)
	}
	return n, nil
}

// checkModuleName refuses what would name something else below /sys/module.
func checkModuleName(module string) error {
	if module == "" || len(module) > maxModuleName || strings.ContainsAny(module, "/\x00") || module == "." || module == ".." {
		return fmt.Errorf("%q: not a module name", module)
	}
	return nil
}
