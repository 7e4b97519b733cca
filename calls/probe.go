package calls

import "fmt"

// An event's name is a letter and the index of a function or site of the plan: what the kernel prints of it
// needs no other name.
const (
	entered  = 'e' // a function of the module
	returned = 'r' // from it
	called   = 'c' // a function of the kernel, by the module
	answered = 'd' // it returned to the module
	jumped   = 'j' // the same as called; it returns to the caller of the function that is left by it
)

// maxActive is how many threads may be in one function at a time: others' returns are missed, and counted.
const maxActive = 64

// probe is one definition for the kernel's kprobe_events.
type probe struct {
	name, text string
	function   int // of Plan.functions; -1 for a call
	site       int // of Plan.sites; -1 for a function
}

// resultRegister is where the machine has what a function returned, right after it.
func resultRegister(arch string) string {
	if arch == "arm64" {
		return "%x0"
	}
	return "%ax"
}

// probes writes the definitions, those of one function or call next to each other.
func (p *Plan) probes(group, arch string) []probe {
	var list []probe
	add := func(function, site int, kind string, letter rune, n int, where string) {
		name := fmt.Sprintf("%c%d", letter, n)
		list = append(list, probe{name, fmt.Sprintf("%s:%s/%s %s:%s", kind, group, name, p.Module, where), function, site})
	}
	for i := range p.functions {
		name := p.functions[i].name
		add(i, -1, fmt.Sprintf("r%d", maxActive), returned, i, name+" ret=$retval")
		add(i, -1, "p", entered, i, name)
	}
	for i := range p.sites {
		s := &p.sites[i]
		in := p.functions[s.function].name
		if s.tail {
			add(-1, i, "p", jumped, i, fmt.Sprintf("%s+%d", in, s.offset))
			continue
		}
		add(-1, i, "p", answered, i, fmt.Sprintf("%s+%d ret=%s", in, s.after, resultRegister(arch)))
		add(-1, i, "p", called, i, fmt.Sprintf("%s+%d", in, s.offset))
	}
	return list
}
