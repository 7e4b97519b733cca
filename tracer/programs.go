package tracer

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
	"github.com/kmodtrace/kmodtrace/tracer/internal/kerneltypes"
	"golang.org/x/sys/unix"
)

// What an opening parses before it asks anything of the kernel. Tests, which open many tracers in
// one process, keep it from one to the next (export_test.go): for one tracer it would only take
// memory.
var (
	parsedPrograms = programsFor
	parsedTypes    = kerneltypes.Read
	allTypes       = btf.NewCache
)

// programsFor reads the build of the programs that a kernel's verifier is done with soonest:
// see bpf/loop.h.
func programsFor(v version) (*ebpf.CollectionSpec, error) {
	if v.less(version{5, 17}) {
		return loadBpf()
	}
	return loadLoops()
}

// configure reads the programs for a kernel, and says which hooks it has and how they are to
// be attached. The kernel's types are read meanwhile: who needs them waits for them.
func configure(o Options, running version) (attach.Config, []hook, error) {
	spec, err := parsedPrograms(running)
	if err != nil {
		return attach.Config{}, nil, fmt.Errorf("read programs: %w", err)
	}
	if err := limit(spec, o); err != nil {
		return attach.Config{}, nil, err
	}
	// arm64 has no system call table of its own for 32-bit programs.
	hooks := slices.DeleteFunc(hooksFor(running), func(h hook) bool {
		return h.name == o.without || spec.Programs[h.programs(o.Backend)[0]] == nil
	})
	names, err := kerneltypes.NamesOf(spec.Types)
	if err != nil {
		return attach.Config{}, nil, err
	}
	types := sync.OnceValues(func() (*btf.Spec, error) { return parsedTypes(names) })
	go func() { _, _ = types() }()
	c := attach.Config{
		Types: types, Cache: allTypes(),
		Spec: spec, Returns: cmp.Or(o.Returns, defaultReturns),
		Due: attach.Dispatch{Program: bpfProgTellDue, Map: bpfMapDueActor}, Own: bpfProgPutFence, Sharing: sharingNames(),
	}
	for _, h := range hooks {
		c.Hooks = append(c.Hooks, h.attachable())
	}
	return c, hooks, nil
}

// limit sets the sizes of maps that the options, or this machine, decide, and leaves out what
// is for the generator only.
func limit(spec *ebpf.CollectionSpec, o Options) error {
	if o.RingSize != 0 {
		spec.Maps[bpfMapEvents].MaxEntries = o.RingSize
	}
	if o.requests != 0 {
		spec.Maps[bpfMapRequests].MaxEntries = o.requests
		spec.Maps[bpfMapLimitedRequests].MaxEntries = o.requests
	}
	processors, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count processors: %w", err)
	}
	spec.Maps[bpfMapLosses].MaxEntries = uint32(processors)
	// The pointers that carry the types to the generator; no program uses them.
	delete(spec.Maps, ".bss")
	return nil
}

// sharingNames names what of the programs lets probes share events.
func sharingNames() attach.Sharing {
	return attach.Sharing{
		Finder: bpfProgFindSymbol, Find: findSymbol, Numbers: bpfMapFunctions,
		Entries: attach.Dispatch{Program: bpfProgSharedEntries, Map: bpfMapEntries},
		Returns: attach.Dispatch{Program: bpfProgSharedReturns, Map: bpfMapReturns},
	}
}

// findSymbol asks the program for the address of a function.
func findSymbol(finder *ebpf.Program, function string) (address uint64, err error) {
	var symbol bpfSymbol
	if len(function) >= len(symbol.Name) {
		return 0, unix.ENOENT
	}
	copy(symbol.Name[:], function)
	got, err := finder.Run(&ebpf.RunOptions{Context: symbol, ContextOut: &symbol})
	if err != nil {
		return 0, err
	}
	if errno := unix.Errno(-int32(got)); errno != 0 {
		return 0, errno
	}
	return symbol.Address, nil
}

// choose is the backend of Auto, and why Fentry is not where it would be. What costs
// nothing is asked first. Whether this kernel has trampolines shows when one is
// attached: to a hook that is wanted anyway, and stays.
func choose(at *attach.Attacher) (Backend, string) {
	if at.Shares() {
		return Kprobe, ""
	}
	if err := HaveNoPreemption(); err != nil {
		return Kprobe, attach.OneLine(err)
	}
	if err := at.TryTrampolines(bpfProgFexitFindModuleAll); err != nil {
		return Kprobe, attach.OneLine(err)
	}
	return Fentry, ""
}
