package tracer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// defaultReturns is how many threads can be inside a function without losing a
// kretprobe's return. The kernel's own default is ten, or two a CPU; it allows
// no more than 4,096.
const defaultReturns = 1024

// attachment is one hook in the kernel.
type attachment struct {
	target   string
	backedUp bool
	program  *ebpf.Program
	link     link.Link
	// event is the name in kprobe_profile, for kretprobes. All that probe the
	// same function have the same there: another reader's misses count too.
	event string
	// shared is the event that it has part in, whose link is another attachment's;
	// nil for what is alone. place is where among the event's probes.
	shared *sharedEvent
	place  int
	number uint32 // its function's, among the event's programs
}

func (a *attachment) Close() error {
	if a.shared != nil {
		return a.program.Close()
	}
	return errors.Join(a.link.Close(), a.program.Close())
}

// attacher loads and attaches hooks one by one, so that each has its own reason
// where it cannot be had.
type attacher struct {
	hooks    []hook // in the order of attaching
	spec     *ebpf.CollectionSpec
	maps     map[string]*ebpf.Map
	cache    *btf.Cache
	backend  Backend
	returns  int
	ahead    map[string]*loading
	attached map[string]*attachment
	sharing  *sharing // nil where each must be attached alone
}

// has tells whether this architecture has the hook at all: arm64 has no system
// call table of its own for 32-bit programs.
func (at *attacher) has(h hook) bool {
	return at.spec.Programs[h.programs(at.backend)[0]] != nil
}

// attach tries the ways to attach h, best first, and reports the one that worked
// and why the ones before it did not.
func (at *attacher) attach(h hook) HookStatus {
	status := HookStatus{Target: h.name, Need: h.need, Tells: h.tells}
	for _, name := range h.programs(at.backend) {
		how, _, _ := strings.Cut(name, "_")
		if status.How == "" {
			status.How = how
		}
		status.Target = at.spec.Programs[name].AttachTo
		err := at.attachProgram(name)
		if err == nil {
			status.How = how
			status.Attached = true
			return status
		}
		if status.Why != "" {
			status.Why += "; "
		}
		status.Why += how + ": " + oneLine(err)
	}
	status.Absent = at.absent(status.Target, status.How)
	return status
}

// markBackedUp finds the hooks that others back up, once all are attached.
func (at *attacher) markBackedUp() {
	entries := make(map[string]bool)
	for _, h := range at.hooks {
		if h.hookType == probe {
			entries[h.name] = at.attached[h.programs(at.backend)[0]] != nil
		}
	}
	for _, h := range at.hooks {
		a := at.attached[h.programs(at.backend)[0]]
		if a == nil || len(h.backups) == 0 {
			continue
		}
		a.backedUp = !slices.ContainsFunc(h.backups, func(name string) bool { return !entries[name] })
	}
}

// attachProgram leaves alone what is attached already, by [attacher.choose].
func (at *attacher) attachProgram(name string) error {
	if at.attached[name] != nil {
		return nil
	}
	spec := at.spec.Programs[name]
	p, err := at.program(name)
	if err != nil {
		return err
	}
	a := &attachment{target: spec.AttachTo, program: p}
	if !at.sharing.join(name, a) {
		if err := a.attach(spec, at.returns); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	at.attached[name] = a
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

// closeAll detaches all at once: each link waits for the kernel to forget it,
// and from 7.x or so the waits overlap. Before, they are one after another,
// whatever the order: the kernel makes them with its list of probes locked.
func closeAll(attached map[string]*attachment, maps map[string]*ebpf.Map) error {
	errs := make(chan error, len(attached)+len(maps))
	var wg sync.WaitGroup
	for _, a := range attached {
		wg.Go(func() { errs <- a.Close() })
	}
	wg.Wait()
	for _, m := range maps {
		errs <- m.Close()
	}
	close(errs)
	var busy, all []error
	for err := range errs {
		if errors.Is(err, unix.EBUSY) {
			busy = append(busy, err)
			continue
		}
		all = append(all, err)
	}
	if !removeBusyProbes(len(busy)) {
		all = append(all, busy...)
	}
	return errors.Join(all...)
}

// absent tells whether there is no such function, by what the kernel answered when it
// was asked for addresses, where it was.
func (at *attacher) absent(target, how string) bool {
	if at.sharing == nil || how == "tracepoint" {
		return absent(target, how)
	}
	_, known := at.sharing.functions[target]
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

// oneLine keeps an error readable: verifier logs have pages.
func oneLine(err error) string {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Sprintf("verifier: %v", verifier)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
