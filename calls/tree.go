package calls

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Call is one call, with those that were made inside it.
type Call struct {
	Function string `json:"function"`
	// Own says that it is the module's; else it is of the kernel or of another module.
	Own bool `json:"own,omitempty"`
	// Defined is the line of a function of the module, CalledAt the line of the call. Caller is the function and
	// offset of the call, where the line is not known.
	Defined  string `json:"defined,omitempty"`
	CalledAt string `json:"called_at,omitempty"`
	Caller   string `json:"caller,omitempty"`

	Start time.Duration `json:"start_boottime_ns,string"`
	// Took and OwnTime are missing where the return was not seen. OwnTime is without the calls in it.
	Took    time.Duration `json:"took_ns,omitempty"`
	OwnTime time.Duration `json:"own_ns,omitempty"`
	// Returned says that its return was seen; Value is what the register of results had then.
	Returned bool   `json:"returned"`
	Value    string `json:"value,omitempty"`
	// Type is what the function returns; Errno is the error that it returned. PossibleErrno is that of a function of which
	// it is not known what it returns.
	Type              Type       `json:"type"`
	Errno             unix.Errno `json:"errno,omitempty"`
	ErrnoName         string     `json:"errno_name,omitempty"`
	PossibleErrno     unix.Errno `json:"possible_errno,omitempty"`
	PossibleErrnoName string     `json:"possible_errno_name,omitempty"`
	Null              bool       `json:"null,omitempty"`

	Calls []*Call `json:"calls,omitempty"`

	value uint64
	frame frame
}

// frame is which probe a call comes from.
type frame struct {
	function int // of Plan.functions; of a call of the kernel's, -1
	site     int // of Plan.sites; -1
}

// Thread is what one thread called, in the order of time.
type Thread struct {
	ID    uint32  `json:"tid"`
	Calls []*Call `json:"calls"`
}

// builder nests the events of one thread.
type builder struct {
	plan  *Plan
	bases bases
	roots []*Call
	stack []*Call
}

// build gives the calls of each thread, in the order of their first events.
func (p *Plan) build(events []Event) []*Thread {
	bases := p.findBases(events)
	var threads []*Thread
	builders := make(map[uint32]*builder)
	for i := range events {
		e := &events[i]
		b := builders[e.Thread]
		if b == nil {
			b = &builder{plan: p, bases: bases}
			builders[e.Thread] = b
			threads = append(threads, &Thread{ID: e.Thread})
		}
		b.add(e)
	}
	for _, t := range threads {
		t.Calls = builders[t.ID].roots
		for _, c := range t.Calls {
			c.finish()
		}
	}
	return threads
}

func (b *builder) add(e *Event) {
	n := len(b.plan.functions)
	if e.Kind == called || e.Kind == answered || e.Kind == jumped {
		n = len(b.plan.sites)
	}
	if e.Index >= n {
		return // not of this plan
	}
	switch e.Kind {
	case entered:
		f := &b.plan.functions[e.Index]
		b.push(&Call{Function: f.name, Own: true, Defined: f.info.Line, Start: e.Time, Type: f.info.Returns, frame: frame{e.Index, -1}})
	case called, jumped:
		s := &b.plan.sites[e.Index]
		b.leaveOthers(s.function)
		c := &Call{Function: s.callee, CalledAt: s.place, Start: e.Time, Type: s.returns, frame: frame{-1, e.Index}}
		if c.CalledAt == "" {
			c.Caller = fmt.Sprintf("%s+%#x", b.plan.functions[s.function].name, s.offset)
		}
		b.push(c)
	case answered:
		if at := b.site(e.Index); at >= 0 {
			b.pop(at, e)
		}
	case returned:
		for at := len(b.stack) - 1; at >= 0; at-- {
			if b.stack[at].frame.function == e.Index {
				b.pop(at, e)
				return
			}
		}
	}
}

func (b *builder) push(c *Call) {
	if n := len(b.stack); n > 0 {
		b.stack[n-1].Calls = append(b.stack[n-1].Calls, c)
	} else {
		b.roots = append(b.roots, c)
	}
	b.stack = append(b.stack, c)
}

// leaveOthers: a call in a function is not inside of what that function called before, whose return was
// missed.
func (b *builder) leaveOthers(function int) {
	for at := len(b.stack) - 1; at >= 0; at-- {
		if b.stack[at].frame.function == function {
			b.stack = b.stack[:at+1]
			return
		}
	}
}

// site finds the call of a site that has not returned, in the innermost activation of its function: code that
// follows a call is reached without it too.
func (b *builder) site(site int) int {
	for at := len(b.stack) - 1; at >= 0; at-- {
		switch f := b.stack[at].frame; {
		case f.site == site:
			return at
		case f.function == b.plan.sites[site].function:
			return -1
		}
	}
	return -1
}

// pop ends a call. What it was left by, in place of a call, ends with it and has its result.
func (b *builder) pop(at int, e *Event) {
	for i, c := range b.stack[at:] {
		tail := i > 0 && c.frame.site >= 0 && b.plan.sites[c.frame.site].tail
		if i == 0 || tail {
			c.end(e)
		}
	}
	if c := b.stack[at]; c.Own && e.Caller != 0 {
		c.CalledAt, c.Caller = b.plan.calledAt(b.bases, e.Caller)
	}
	b.stack = b.stack[:at]
}

func (c *Call) end(e *Event) {
	c.Returned, c.value, c.Took = true, e.Value, max(e.Time-c.Start, 0)
	c.Value = fmt.Sprintf("%#x", e.Value)
	switch j, errno := judge(c.Type, e.Value); j {
	case Failed:
		c.Errno, c.ErrnoName = errno, unix.ErrnoName(errno)
	case Possible:
		c.PossibleErrno, c.PossibleErrnoName = errno, unix.ErrnoName(errno)
	case Null:
		c.Null = true
	}
}

// finish computes the times that need those of what is inside.
func (c *Call) finish() {
	own := c.Took
	for _, inner := range c.Calls {
		inner.finish()
		own -= inner.Took
	}
	if c.Returned {
		c.OwnTime = max(own, 0)
	}
}

// bases are where the module's sections with code lie.
type bases map[int]uint64

// findBases computes them from the places of probes: the kernel knows their names no more when the module is gone.
func (p *Plan) findBases(events []Event) bases {
	found := make(bases)
	for i := range events {
		e := &events[i]
		if e.Address == 0 || e.Kind != entered || e.Index >= len(p.functions) {
			continue
		}
		f := &p.functions[e.Index]
		s := &p.sections[f.section]
		// The place is some bytes into the function, where ftrace patches it: less than a section is aligned to.
		const shift = 16
		if _, ok := found[f.section]; ok || s.align < shift || e.Address < f.offset {
			continue
		}
		found[f.section] = (e.Address - f.offset) &^ (s.align - 1)
	}
	return found
}

// calledAt gives the line of a call that returns to an address, or function and offset.
func (p *Plan) calledAt(at bases, address uint64) (line, caller string) {
	for i, base := range at {
		offset := address - base - 1 // of the call, not of what follows
		if address <= base || offset >= p.sections[i].size {
			continue
		}
		n := slices.IndexFunc(p.functions, func(f function) bool { return f.section == i && f.offset <= offset && offset < f.offset+f.size })
		if line := p.lines.at(p.sections[i].name, offset); line != "" {
			return line, ""
		}
		if n >= 0 {
			return "", fmt.Sprintf("%s+%#x", p.functions[n].name, offset+1-p.functions[n].offset)
		}
	}
	return "", ""
}
