package calls

import (
	"fmt"
	"time"
)

// Report is what a module called inside its init or exit. As JSON it is what docs/schema/calls.schema.json
// describes.
type Report struct {
	Module string `json:"module"`
	Part   Part   `json:"part"`
	// Path leads from the init to the call whose error it returned; empty where it returned none, or was not seen.
	Path []Step `json:"path,omitempty"`
	// Swallowed are paths to errors of which the result does not tell: of functions that the kernel called
	// back, such as a driver's probe. At most maxSwallowed are listed.
	Swallowed [][]Step `json:"swallowed,omitempty"`
	// Open are the calls that had not returned when it was looked at, the outermost first: where an init or exit hangs.
	Open []Step `json:"open,omitempty"`
	// Threads are those that ran in the module, the one of the init or exit first.
	Threads []*Thread `json:"threads"`
	Probes  int       `json:"probes"`
	// CallCost is about what the probes of one call cost at most: twice the shortest time between two of a thread. All
	// times include it.
	CallCost time.Duration `json:"call_cost_ns,omitempty"`
	// Unseen are functions that could not be probed; LeftOut counts those beyond the bound of probes.
	Unseen  []Unseen `json:"unseen,omitempty"`
	LeftOut int      `json:"left_out,omitempty"`
	// Lost counts events that were lost, MissedReturns returns that the kernel had no room to wait for.
	Lost          int `json:"lost,omitempty"`
	MissedReturns int `json:"missed_returns,omitempty"`
}

// Step is a call on a path, without what was called inside it.
type Step struct {
	Call
	// Converted says that its error is not the one that the caller of it answered with.
	Converted bool `json:"converted,omitempty"`
}

const maxSwallowed = 16

// partNames are the parts' names.
var partNames = [...]string{Init: "init", Exit: "exit"}

// String gives its name.
func (p Part) String() string { return partNames[p] }

// MarshalText gives its name.
func (p Part) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (a *Armed) report(thread uint32) *Report {
	r := a.plan.Report(a.events, thread)
	r.Unseen = append(r.Unseen, a.unseen...)
	r.Probes -= a.refused
	r.Lost = a.lost.overwritten + a.lost.unread + a.lost.dropped
	r.MissedReturns = a.missed
	return r
}

// Report nests events, and finds the path to the first error of the thread that ran the init or exit; of
// the first thread that did, if none is named.
func (p *Plan) Report(events []Event, thread uint32) *Report {
	r := &Report{Module: p.Module, Part: p.part, Threads: p.build(events), Probes: p.Probes(),
		CallCost: callCost(events), Unseen: p.Unseen, LeftOut: p.LeftOut}
	root := r.root(p.root, thread)
	r.Open = steps(openIn(r.Threads, thread))
	if root != nil && root.errno() != 0 {
		r.Path = steps(path(root))
	}
	for _, t := range r.Threads {
		for _, c := range t.Calls {
			for _, found := range swallowed(c, true, nil) {
				if found != root && len(r.Swallowed) < maxSwallowed && !contains(r.Path, found) {
					r.Swallowed = append(r.Swallowed, steps(append(above(c, found), path(found)...)))
				}
			}
		}
	}
	return r
}

// root finds the init or exit, and puts its thread first.
func (r *Report) root(function int, thread uint32) *Call {
	for i, t := range r.Threads {
		if thread != 0 && t.ID != thread {
			continue
		}
		for _, c := range t.Calls {
			if c.Own && c.frame.function == function {
				r.Threads[0], r.Threads[i] = r.Threads[i], r.Threads[0]
				return c
			}
		}
	}
	return nil
}

func steps(calls []*Call) []Step {
	list := make([]Step, len(calls))
	for i, c := range calls {
		list[i].Call = *c
		list[i].Calls = nil
		list[i].Converted = i > 0 && calls[i-1].errno() != 0 && calls[i-1].errno() != c.errno()
	}
	return list
}

func contains(path []Step, c *Call) bool {
	for i := range path {
		if path[i].frame == c.frame && path[i].Start == c.Start {
			return true
		}
	}
	return false
}

// above gives the calls that one is inside of, from the outermost.
func above(from, to *Call) []*Call {
	if from == to {
		return nil
	}
	for _, inner := range from.Calls {
		if inner == to {
			return []*Call{from}
		}
		if list := above(inner, to); list != nil {
			return append([]*Call{from}, list...)
		}
	}
	return nil
}

// callCost looks for the two events of one thread that are next to each other.
func callCost(events []Event) time.Duration {
	last := make(map[uint32]time.Duration)
	var shortest time.Duration
	for i := range events {
		e := &events[i]
		if before, ok := last[e.Thread]; ok {
			if gap := e.Time - before; gap > 0 && (shortest == 0 || gap < shortest) {
				shortest = gap
			}
		}
		last[e.Thread] = e.Time
	}
	return 2 * shortest
}

// UnmarshalText reads a name that String gives.
func (p *Part) UnmarshalText(text []byte) error {
	for i, name := range partNames {
		if name == string(text) {
			*p = Part(i)
			return nil
		}
	}
	return fmt.Errorf("unknown part %q", text)
}
