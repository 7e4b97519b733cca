package tracer

import (
	"time"

	"github.com/cilium/ebpf/btf"
)

// Kernels before 5.13 do not name who asks for a module: the address is resolved here.

// namesSites tells whether this kernel gives BPF programs the name of an address (bpf/site.h).
func namesSites(types func() (*btf.Spec, error)) bool {
	kernel, err := types()
	if err != nil {
		return true
	}
	var helpers *btf.Enum
	if kernel.TypeByName("bpf_func_id", &helpers) != nil {
		return false
	}
	for _, v := range helpers.Values {
		if v.Name == "BPF_FUNC_snprintf" {
			return true
		}
	}
	return false
}

// presentModules are the modules that were there when all hooks were attached.
type presentModules struct {
	modules map[string]extent
	at      time.Duration
}

// read takes them as they are now. Their events from before now may still be in the ring.
func (p *presentModules) read() {
	p.modules = moduleExtents()
	p.at = SinceBoot()
}

// take gives them once: who iterates later has not seen the events between.
func (p *presentModules) take() map[string]extent {
	modules := p.modules
	p.modules = nil
	return modules
}

// resolveSites has the correlator and the enricher resolve the addresses of requests, where
// the kernel does not. It gives what is to be called before each event is added.
func (t *Tracer) resolveSites(c *Correlator, en *Enricher) (before func(*Event)) {
	if t.present == nil {
		return func(*Event) {}
	}
	c.ranges = new(moduleRanges)
	c.ranges.present(t.present.take(), t.present.at)
	en.sites = newKernelSites()
	var known uint64
	// An event tells only of what its own CPU has lost.
	return func(e *Event) {
		if e.Kind != KindRequest && e.Kind != KindRequestFormat && e.Kind != KindCallback {
			return
		}
		if now, err := t.losses(); err != nil || now.Lost != known {
			known = now.Lost
			c.ranges.doubt()
		}
	}
}
