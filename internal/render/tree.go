package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Forest defers what was done for a request until the request has ended, and shows it below
// the request. A request for which nobody waits ends first: what is done for it then stands
// alone.
type Forest struct {
	deferred map[tracer.ID][]*Tree // by the request that it was done for
	count    int
	ended    []tracer.ID // requests whose own end has been seen, the last of them
}

// Tree is a request or a load, with what was done for it.
type Tree struct {
	record.Record
	below []*Tree
}

// Bounds of what a forest keeps.
const (
	maxDeferred = 4096
	maxEnded    = 1024
)

// Add takes the next action, and gives the trees that are whole now.
func (f *Forest) Add(e record.Record) []*Tree {
	t := &Tree{Record: e}
	if e.Kind == tracer.Autoload {
		t.below = f.deferred[e.ID]
		f.count -= len(t.below)
		delete(f.deferred, e.ID)
		if f.ended = append(f.ended, e.ID); len(f.ended) > maxEnded {
			f.ended = slices.Delete(f.ended, 0, 1)
		}
	}
	if e.ForRequest == 0 || slices.Contains(f.ended, e.ForRequest) {
		return []*Tree{t}
	}
	var whole []*Tree
	if f.count >= maxDeferred {
		whole = f.Rest()
	}
	if f.deferred == nil {
		f.deferred = make(map[tracer.ID][]*Tree)
	}
	f.deferred[e.ForRequest] = append(f.deferred[e.ForRequest], t)
	f.count++
	return whole
}

// Rest gives what still waits for its request, oldest first.
func (f *Forest) Rest() []*Tree {
	var all []*Tree
	for _, trees := range f.deferred {
		all = append(all, trees...)
	}
	f.deferred, f.count = nil, 0
	slices.SortFunc(all, func(a, b *Tree) int { return int(a.Start - b.Start) })
	return all
}

// RenderTree gives a row for the action, and below it who did what for it.
func (t *ActionTable) RenderTree(root *Tree) string {
	return t.rows(&root.Record, t.branches(root, ""))
}

// branches draws what is below an action: each helper once, its loads below it.
func (t *ActionTable) branches(of *Tree, indent string) []cells.Line {
	var lines []cells.Line
	for i := 0; i < len(of.below); {
		helper := of.below[i].Thread
		n := 1
		for i+n < len(of.below) && sameProcess(of.below[i+n].Thread, helper) {
			n++
		}
		mark, next := cells.BranchMore, "│ "
		if i+n == len(of.below) {
			mark, next = cells.BranchLast, "  "
		}
		lines = append(lines, t.branch(indent+mark).Add(cells.Plain, fmt.Sprintf("%s[%d]", helper.Comm, helper.PID)))
		for j, child := range of.below[i : i+n] {
			lines = append(lines, t.twig(child, indent+next, j == n-1)...)
		}
		i += n
	}
	return lines
}

func sameProcess(a, b tracer.Thread) bool { return a.PID == b.PID && a.Start == b.Start }

// twig draws one thing that a helper did.
func (t *ActionTable) twig(of *Tree, indent string, last bool) []cells.Line {
	mark, next := cells.BranchMore, "│ "
	if last {
		mark, next = cells.BranchLast, "  "
	}
	a := &of.Action
	head := t.branch(indent+mark).Add(cells.Plain, a.Kind.String()).Spaced(cells.Strong, cells.OrDash(a.Module)).
		Spaced(outcomeStyle(a.Outcome), outcomeText(a, t.width))
	if a.End != 0 {
		head = head.Spaced(cells.Plain, cells.Duration(a.Took))
	}
	if a.Kind == tracer.Load {
		head = head.Spaced(cells.Plain, cells.CutFront(cells.Printable(fileText(a.File)), max(t.width-cells.Count(head.String())-cells.Gap, 16)))
	}
	lines := []cells.Line{head}
	if of.Cause != nil {
		room := max(t.width-cells.Count(t.branch(indent+next).String()), 16)
		for _, part := range cells.Wrap(cells.Printable(of.Cause.String()), room) {
			lines = append(lines, t.branch(indent+next).Add(outcomeNote(a.Outcome), part))
		}
	}
	for _, m := range MessageLines(&of.Record, maxBelow) {
		lines = append(lines, append(t.branch(indent+next), m...))
	}
	return append(lines, t.branches(of, indent+next)...)
}

// branch begins a line below a row.
func (t *ActionTable) branch(drawn string) cells.Line {
	return cells.Line{}.Add(cells.Plain, strings.Repeat(" ", belowColumns)).Add(cells.Dim, drawn)
}
