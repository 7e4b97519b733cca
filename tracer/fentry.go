package tracer

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// choose is the backend of Auto, and why Fentry is not where it would be. What costs
// nothing is asked first. Whether this kernel has trampolines shows when one is
// attached: to a hook that is wanted anyway, and stays.
func (at *attacher) choose() (Backend, string) {
	if at.sharing != nil {
		return Kprobe, ""
	}
	if err := HaveNoPreemption(); err != nil {
		return Kprobe, oneLine(err)
	}
	if at.attachProgram(bpfProgFexitFindModuleAll) == nil {
		return Fentry, ""
	}
	if err := haveFentry(at.cache); err != nil {
		return Kprobe, oneLine(err)
	}
	return Fentry, ""
}

// HaveFentry asks whether functions can be hooked through BPF trampolines,
// entry and return. It attaches a program that does nothing to do_init_module:
// that a program loads is not enough on arm64 before 6.4 or so.
func HaveFentry() error { return haveFentry(btf.NewCache()) }

func haveFentry(cache *btf.Cache) error {
	const target = "do_init_module"
	for _, kind := range []ebpf.AttachType{ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit} {
		if err := tryTracing(target, kind, cache); err != nil {
			return fmt.Errorf("%s on %s: %w", kind, target, err)
		}
	}
	return nil
}

func tryTracing(target string, kind ebpf.AttachType, cache *btf.Cache) error {
	const name = "nothing"
	p, err := loadProgram(name, &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{name: {
		Type:         ebpf.Tracing,
		AttachType:   kind,
		AttachTo:     target,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	}}}, ebpf.CollectionOptions{Cache: cache})
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
