package attach

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// ErrNoTracefs is why a return cannot be probed: that many at once are asked for there.
var ErrNoTracefs = errors.New("tracefs is not mounted: mount -t tracefs nodev /sys/kernel/tracing")

// Config says what is attached, and how.
type Config struct {
	// Spec has the programs and maps; [New] changes it.
	Spec *ebpf.CollectionSpec
	// Types gives the types of the kernel that the programs are relocated by, and Cache all of
	// its types, which only trampolines need.
	Types func() (*btf.Spec, error)
	Cache *btf.Cache
	// Hooks are in the order of attaching. The Spec has the first program of each.
	Hooks []Hook
	// Returns is how many threads can be inside a function without losing a
	// kretprobe's return.
	Returns int
	// Due reports actors for the programs of probes, which call it by the map (bpf/due.h).
	Due Dispatch
	// Own is a program that the reader runs itself: see [Hooks.Own].
	Own string
	// Sharing is for [Attacher.Share].
	Sharing Sharing
}

// Dispatch names a program, and a map from which programs are called: for [Config.Due] it
// is the one that is called, for [Sharing] the one that calls.
type Dispatch struct{ Program, Map string }

// Attacher loads and attaches hooks one by one, so that each has its own reason
// where it cannot be had.
type Attacher struct {
	config      Config
	hooks       *Hooks
	ahead       map[string]*loading
	sharing     *sharing // nil where each must be attached alone
	trampolines bool
}

// New creates the maps. It removes what processes that were killed have left in tracefs.
func New(c Config) (*Attacher, error) {
	removeStaleProbes()
	// As the library makes it itself, and so wants it where it finds it made.
	c.Spec.Maps[".rodata"].Flags |= unix.BPF_F_MMAPABLE
	at := &Attacher{config: c, hooks: &Hooks{attached: make(map[string]*attachment), maps: make(map[string]*ebpf.Map)}}
	for name, spec := range c.Spec.Maps {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("create map %s: %w", name, err), at.hooks.Close())
		}
		at.hooks.maps[name] = m
	}
	return at, nil
}

// Attached gives the hooks that are attached so far, and the maps. Who asks for them must
// close them.
func (at *Attacher) Attached() *Hooks { return at.hooks }

// Attach attaches all hooks, and tells what became of each, in their order. The error is of
// [Config.Due], and keeps no hook from being attached.
func (at *Attacher) Attach(trampolines bool) ([]Status, error) {
	at.trampolines = trampolines
	at.loadAhead()
	err := at.leaveDue()
	at.hooks.own, at.hooks.ownErr = at.program(at.config.Own)
	at.share()
	all := make([]Status, 0, len(at.config.Hooks))
	attached := make(map[string]bool)
	for _, h := range at.config.Hooks {
		status := Status{Unneeded: h.unneeded(attached)}
		if !status.Unneeded {
			status = at.attach(h)
		}
		attached[h.Name] = status.Attached
		all = append(all, status)
	}
	at.markBackedUp()
	return all, err
}

// attach tries the ways to attach h, best first, and reports the one that worked
// and why the ones before it did not.
func (at *Attacher) attach(h Hook) Status {
	status := Status{Target: h.Name}
	for _, name := range h.Programs(at.trampolines) {
		how, _, _ := strings.Cut(name, "_")
		if status.How == "" {
			status.How = how
		}
		status.Target = at.config.Spec.Programs[name].AttachTo
		err := at.attachProgram(name)
		if err == nil {
			status.How = how
			status.Attached = true
			return status
		}
		if status.Why != "" {
			status.Why += "; "
		}
		status.Why += how + ": " + OneLine(err)
	}
	status.Absent = at.absent(status.Target, status.How)
	return status
}

// markBackedUp finds the hooks that others back up, once all are attached.
func (at *Attacher) markBackedUp() {
	entries := make(map[string]bool)
	for _, h := range at.config.Hooks {
		if h.Type == Probe {
			entries[h.Name] = at.hooks.attached[h.Programs(at.trampolines)[0]] != nil
		}
	}
	for _, h := range at.config.Hooks {
		a := at.hooks.attached[h.Programs(at.trampolines)[0]]
		if a == nil || len(h.Backups) == 0 {
			continue
		}
		a.backedUp = !slices.ContainsFunc(h.Backups, func(name string) bool { return !entries[name] })
	}
}

// attachProgram leaves alone what is attached already, by [Attacher.TryTrampolines].
func (at *Attacher) attachProgram(name string) error {
	if at.hooks.attached[name] != nil {
		return nil
	}
	spec := at.config.Spec.Programs[name]
	p, err := at.program(name)
	if err != nil {
		return err
	}
	a := &attachment{target: spec.AttachTo, program: p}
	if !at.sharing.join(name, a) {
		if err := a.attach(spec, at.config.Returns); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	at.hooks.attached[name] = a
	return nil
}

// attach attaches it alone.
func (a *attachment) attach(spec *ebpf.ProgramSpec, returns int) (err error) {
	section, _, _ := strings.Cut(spec.SectionName, "/")
	switch section {
	case "fentry", "fexit":
		a.link, err = link.AttachTracing(link.TracingOptions{Program: a.program})
	case "kprobe":
		a.link, err = link.Kprobe(spec.AttachTo, a.program, nil)
	case "kretprobe":
		if !haveTracefs() {
			return ErrNoTracefs
		}
		a.event = eventName(spec.AttachTo)
		a.link, err = link.Kretprobe(spec.AttachTo, a.program, &link.KprobeOptions{
			RetprobeMaxActive: returns,
			TraceFSPrefix:     tracefsPrefix + strconv.Itoa(os.Getpid()),
		})
	case "raw_tracepoint":
		a.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: a.program})
	default:
		err = fmt.Errorf("section %q has no way to attach", spec.SectionName)
	}
	return err
}

// absent tells whether there is no such function, by what the kernel answered when it
// was asked for addresses, where it was.
func (at *Attacher) absent(target, how string) bool {
	if at.sharing == nil || how == "tracepoint" {
		return absent(target, how)
	}
	_, known := at.sharing.numbers[target]
	return !known
}

// absent asks the kernel's symbol table whether there is such a function. It is
// asked only when attaching went wrong: errors differ between kernels, and the
// table is long.
func absent(target, how string) bool {
	if how == "tracepoint" {
		target = "__tracepoint_" + target
	}
	has, err := procfs.HasSymbol("/", target)
	return !has && err == nil
}

// OneLine keeps an error readable: verifier logs have pages.
func OneLine(err error) string {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Sprintf("verifier: %v", verifier)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
