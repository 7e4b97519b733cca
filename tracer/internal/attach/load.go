package attach

import (
	"fmt"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// loading is a program on its way into the kernel.
type loading struct {
	name    string
	done    chan struct{}
	program *ebpf.Program
	err     error
}

// loadAhead begins to load the programs by which the hooks are to be attached:
// loading is work for the processors, attaching mostly waits for the kernel, and
// only the attaching has an order. Each must be taken: by attaching its hook, by leaveDue, or as the
// reader's own.
func (at *Attacher) loadAhead() {
	queue := make(chan *loading, len(at.config.Hooks)+2)
	at.ahead = make(map[string]*loading, len(at.config.Hooks)+2)
	begin := func(name string) {
		at.ahead[name] = &loading{name: name, done: make(chan struct{})}
		queue <- at.ahead[name]
	}
	begin(at.config.Due.Program)
	begin(at.config.Own)
	for _, h := range at.config.Hooks {
		if name := h.Programs(at.trampolines)[0]; at.hooks.attached[name] == nil && len(h.InsteadOf) == 0 {
			begin(name)
		}
	}
	close(queue)
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for l := range queue {
				l.program, l.err = at.load(l.name)
				close(l.done)
			}
		}()
	}
}

// program gives the program to whoever attaches it, and closes it.
func (at *Attacher) program(name string) (*ebpf.Program, error) {
	l := at.ahead[name]
	if l == nil {
		return at.load(name)
	}
	delete(at.ahead, name)
	<-l.done
	return l.program, l.err
}

// leaveDue loads the program that reports actors for the programs of probes (bpf/due.h),
// and puts it into the map that they call it by. The map keeps it.
func (at *Attacher) leaveDue() error {
	p, err := at.program(at.config.Due.Program)
	if err != nil {
		return fmt.Errorf("load the program that reports actors: %w", err)
	}
	defer p.Close()
	if err := at.hooks.maps[at.config.Due.Map].Put(uint32(0), p); err != nil {
		return fmt.Errorf("store the program that reports actors: %w", err)
	}
	return nil
}

func (at *Attacher) load(name string) (*ebpf.Program, error) {
	spec := at.config.Spec.Programs[name]
	types, err := at.config.Types()
	if err != nil {
		return nil, err
	}
	if spec.Type == ebpf.Tracing {
		kernel, err := at.config.Cache.Kernel()
		if err != nil {
			return nil, err
		}
		if err := describes(kernel, spec.AttachTo); err != nil {
			return nil, err
		}
	}
	// 6.1 describes each system call twice, as defined and as the weak fallback of
	// kernel/sys_ni.c; such a target the library refuses, and it gets a kprobe.
	return loadProgram(name, &ebpf.CollectionSpec{
		Maps:      at.config.Spec.Maps,
		Programs:  map[string]*ebpf.ProgramSpec{name: spec},
		Types:     at.config.Spec.Types,
		ByteOrder: at.config.Spec.ByteOrder,
	}, ebpf.CollectionOptions{
		MapReplacements: at.hooks.maps,
		// The kernel's own types only. Left to itself, the library would read those
		// of every module too, which may be unloaded meanwhile, and in 0.22 would
		// write the kernel's types from several modules at once without a lock.
		Programs: ebpf.ProgramOptions{KernelTypes: types},
		Cache:    at.config.Cache,
	})
}

// describes asks whether a trampoline can have the function's first argument. To ask the
// verifier takes long. What the kernel itself lacks must not be looked for in modules.
func describes(kernel *btf.Spec, function string) error {
	types, err := kernel.AnyTypesByName(function)
	if err != nil {
		return fmt.Errorf("types of %s: %w", function, err)
	}
	for _, t := range types {
		f, ok := t.(*btf.Func)
		if !ok {
			continue
		}
		proto, ok := f.Type.(*btf.FuncProto)
		if !ok || len(proto.Params) == 0 {
			continue
		}
		if p, ok := btf.UnderlyingType(proto.Params[0].Type).(*btf.Pointer); ok {
			if fwd, ok := btf.UnderlyingType(p.Target).(*btf.Fwd); ok {
				return fmt.Errorf("types of %s: struct %s is not described there", function, fwd.Name)
			}
		}
	}
	return nil
}

// loadProgram loads a collection of one program: it alone lets programs share
// what was read of the kernel's types.
func loadProgram(name string, only *ebpf.CollectionSpec, opts ebpf.CollectionOptions) (*ebpf.Program, error) {
	coll, err := ebpf.NewCollectionWithOptions(only, opts)
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}
