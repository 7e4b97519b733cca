package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// defaultReturns is how many threads can be inside a function without losing a
// kretprobe's return. The kernel's own default is ten, or two a CPU; it allows
// no more than 4,096.
const defaultReturns = 1024

// attachment is one hook in the kernel.
type attachment struct {
	target  string
	spare   bool
	program *ebpf.Program
	link    link.Link
	// event is the name in kprobe_profile, for kretprobes. All that probe the
	// same function have the same there: another reader's misses count too.
	event string
}

func (a *attachment) Close() error {
	return errors.Join(a.link.Close(), a.program.Close())
}

// attacher loads and attaches hooks one by one, so that each has its own reason
// where it cannot be had.
type attacher struct {
	spec    *ebpf.CollectionSpec
	maps    map[string]*ebpf.Map
	cache   *btf.Cache
	backend Backend
	returns int
}

// has tells whether this architecture has the hook at all: arm64 has no system
// call table of its own for 32-bit programs.
func (at *attacher) has(h hook) bool {
	return at.spec.Programs[h.programs(at.backend)[0]] != nil
}

// attach tries the ways to attach h, best first, and reports the one that worked
// and why the ones before it did not.
func (at *attacher) attach(h hook) (*attachment, HookStatus) {
	status := HookStatus{Target: h.name, Need: h.need, Tells: h.tells}
	for _, name := range h.programs(at.backend) {
		how, _, _ := strings.Cut(name, "_")
		if status.How == "" {
			status.How = how
		}
		spec := at.spec.Programs[name]
		status.Target = spec.AttachTo
		a, err := at.load(name, spec)
		if err == nil {
			a.spare = h.spare
			status.How = how
			status.Attached = true
			return a, status
		}
		if status.Why != "" {
			status.Why += "; "
		}
		status.Why += how + ": " + oneLine(err)
	}
	status.Absent = absent(status.Target, status.How)
	return nil, status
}

func (at *attacher) load(name string, spec *ebpf.ProgramSpec) (*attachment, error) {
	p, err := at.loadProgram(name, spec)
	if errors.Is(err, btf.ErrMultipleMatches) {
		p, err = at.loadAmbiguous(spec)
	}
	if err != nil {
		return nil, err
	}
	a := &attachment{target: spec.AttachTo, program: p}
	if err := a.attach(spec, at.returns); err != nil {
		return nil, errors.Join(err, a.program.Close())
	}
	return a, nil
}

func (at *attacher) loadProgram(name string, spec *ebpf.ProgramSpec) (*ebpf.Program, error) {
	only := &ebpf.CollectionSpec{
		Maps:      at.spec.Maps,
		Programs:  map[string]*ebpf.ProgramSpec{name: spec},
		Types:     at.spec.Types,
		ByteOrder: at.spec.ByteOrder,
	}
	coll, err := ebpf.NewCollectionWithOptions(only, ebpf.CollectionOptions{
		MapReplacements: at.maps,
		Cache:           at.cache,
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

func (a *attachment) attach(spec *ebpf.ProgramSpec, returns int) (err error) {
	section, _, _ := strings.Cut(spec.SectionName, "/")
	switch section {
	case "fentry", "fexit":
		a.link, err = link.AttachTracing(link.TracingOptions{Program: a.program})
	case "kprobe":
		a.link, err = link.Kprobe(spec.AttachTo, a.program, nil)
	case "kretprobe":
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
// and the waits overlap.
func closeAll(attached []*attachment, maps map[string]*ebpf.Map) error {
	errs := make([]error, len(attached))
	var wg sync.WaitGroup
	for i, a := range attached {
		wg.Go(func() { errs[i] = a.Close() })
	}
	wg.Wait()
	for _, m := range maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// HaveFentry asks whether functions can be hooked through BPF trampolines,
// entry and return. It attaches a program that does nothing to do_init_module:
// that a program loads is not enough on arm64 before 6.4 or so.
func HaveFentry() error {
	const target = "do_init_module"
	for _, kind := range []ebpf.AttachType{ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit} {
		if err := tryTracing(target, kind); err != nil {
			return fmt.Errorf("%s on %s: %w", kind, target, err)
		}
	}
	return nil
}

func tryTracing(target string, kind ebpf.AttachType) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.Tracing,
		AttachType:   kind,
		AttachTo:     target,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return err
	}
	return l.Close()
}

// absent asks the kernel's symbol table whether there is such a function. It is
// asked only when attaching went wrong: errors differ between kernels, and the
// table is long.
func absent(target, how string) bool {
	if how == "tracepoint" {
		target = "__tracepoint_" + target
	}
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 3 && fields[2] == target {
			return false
		}
	}
	return lines.Err() == nil
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
