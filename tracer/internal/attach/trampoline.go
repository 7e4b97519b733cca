package attach

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// TryTrampolines asks whether functions can be hooked through BPF trampolines, entry and
// return. It attaches that program first, whose hook is wanted anyway: it stays attached,
// and nothing else needs to be asked.
func (at *Attacher) TryTrampolines(program string) error {
	if at.attachProgram(program) == nil {
		return nil
	}
	return HaveTrampolines(at.config.Cache)
}

// HaveTrampolines asks the same by programs that do nothing, on do_init_module. It attaches
// them: that a program loads is not enough on arm64 before 6.4 or so.
func HaveTrampolines(cache *btf.Cache) error {
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
