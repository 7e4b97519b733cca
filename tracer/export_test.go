package tracer

import (
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/kmodtrace/kmodtrace/tracer/internal/kerneltypes"
)

// KeepParsed has all tracers of this process share what the first one parses: our programs and the
// kernel's types, which are a fifth of what an opening computes.
func KeepParsed() {
	running, err := runningVersion()
	parse := sync.OnceValues(func() (*ebpf.CollectionSpec, error) { return programsFor(running) })
	parsedPrograms = func(v version) (*ebpf.CollectionSpec, error) {
		if err != nil || v != running {
			return programsFor(v)
		}
		spec, err := parse()
		return spec.Copy(), err
	}
	var once sync.Once
	var types *btf.Spec
	var failed error
	parsedTypes = func(names kerneltypes.Names) (*btf.Spec, error) {
		once.Do(func() { types, failed = kerneltypes.Read(names) })
		return types, failed
	}
	allTypes = sync.OnceValue(btf.NewCache)
}

// TrackRequests bounds the requests that the kernel side keeps in flight.
func (o *Options) TrackRequests(n uint32) { o.requests = n }

// Unhurried has the kernel side tell whatever the budgets allow, also where the reader cannot
// follow: for tests of the budgets, which a busy machine must not change.
func (o *Options) Unhurried() *Options {
	o.unhurried = true
	return o
}

// Without leaves a hook out.
func (o *Options) Without(hook string) *Options {
	o.without = hook
	return o
}
