package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// CallsView is what is printed of calls beside the path to the first error.
type CallsView struct{ Tree, Slow bool }

// Calls tells what was called inside an init or exit.
func (t *ResultText) Calls(r *calls.Report, view CallsView) []cells.Line {
	if r == nil {
		return nil
	}
	var lines []cells.Line
	switch {
	case len(r.Path) > 0:
		lines = t.Wrapped("calls", cells.Bad, calls.PathText(r.Path))
	case len(r.Threads) == 0:
		lines = t.Wrapped("calls", cells.Unsure, fmt.Sprintf("none: no probed function of %s ran", r.Module))
	case len(r.Open) > 0:
		lines = t.Wrapped("calls", cells.Bad, "not returned: "+calls.PathText(r.Open))
	case len(r.Swallowed) == 0:
		lines = t.Wrapped("calls", cells.Plain, fmt.Sprintf("the %v returned no error", r.Part))
	}
	for _, steps := range r.Swallowed {
		lines = append(lines, t.Wrapped(first(len(lines), "calls"), cells.Bad, calls.PathText(steps)+", which the "+r.Part.String()+" was not told")...)
	}
	if view.Slow {
		lines = append(lines, slowest(r)...)
	}
	if view.Tree {
		for _, thread := range r.Threads {
			lines = append(lines, Labelled("thread", cells.Strong, fmt.Sprint(thread.ID)))
			for _, c := range thread.Calls {
				lines = appendCall(lines, c, 0)
			}
		}
	}
	return append(lines, t.callsLimits(r, view)...)
}

// callsLimits tells what the report does not, and what the probes cost.
func (t *ResultText) callsLimits(r *calls.Report, view CallsView) []cells.Line {
	cost := cells.Plural(r.Probes, "probe")
	if r.CallCost > 0 {
		cost += fmt.Sprintf("; times include their cost, at most about %s a call", cells.Duration(r.CallCost))
	}
	lines := t.Wrapped("probes", cells.Plain, cost)
	if r.LeftOut > 0 {
		lines = append(lines, t.Wrapped("left out", cells.Unsure, fmt.Sprintf("%d beyond the bound of probes (functions, and calls in them)", r.LeftOut))...)
	}
	if r.Lost > 0 || r.MissedReturns > 0 {
		lines = append(lines, t.Wrapped("lost", cells.Unsure, fmt.Sprintf("%s; the kernel missed %s", cells.Plural(r.Lost, "event"), cells.Plural(r.MissedReturns, "return")))...)
	}
	if len(r.Unseen) > 0 {
		lines = append(lines, t.Wrapped("not seen", cells.Plain, unseenText(r.Unseen, view.Tree))...)
	}
	return lines
}

// unseenText names functions by the reason.
func unseenText(unseen []calls.Unseen, all bool) string {
	const most = 5
	names := make(map[string][]string)
	var reasons []string
	for _, u := range unseen {
		if names[u.Why] == nil {
			reasons = append(reasons, u.Why)
		}
		names[u.Why] = append(names[u.Why], u.Function)
	}
	for i, why := range reasons {
		list := names[why]
		if !all && len(list) > most {
			list = append(slices.Clone(list[:most]), fmt.Sprintf("%d more", len(list)-most))
		}
		reasons[i] = strings.Join(list, ", ") + ": " + why
	}
	return strings.Join(reasons, "; ")
}

// appendCall adds the line of a call, and those of what it called.
func appendCall(lines []cells.Line, c *calls.Call, depth int) []cells.Line {
	text := strings.Repeat("  ", depth) + c.Function
	l := cells.Line{}.Add(cells.Plain, "  ").Add(cells.Plain, text)
	switch style := cells.Plain; {
	case !c.Returned:
		l = l.Spaced(cells.Unsure, "not seen to return")
	case c.Type == calls.Void:
	default:
		if c.Errno != 0 {
			style = cells.Bad
		}
		l = l.Spaced(cells.Plain, "=").Add(cells.Plain, " ").Add(style, c.Result())
	}
	if c.Returned {
		l = l.Spaced(cells.Plain, cells.Duration(c.Took))
	}
	lines = append(lines, l.Spaced(cells.Plain, c.Site()))
	for _, inner := range c.Calls {
		lines = appendCall(lines, inner, depth+1)
	}
	return lines
}

// slowest lists functions by the time that they took without what they called.
func slowest(r *calls.Report) []cells.Line {
	const most = 20
	type total struct {
		name, place string
		calls       int
		own         time.Duration
	}
	totals := make(map[string]*total)
	var add func([]*calls.Call)
	add = func(list []*calls.Call) {
		for _, c := range list {
			place := c.Defined
			if !c.Own {
				place = c.Site()
			}
			key := c.Function + "\x00" + place
			if totals[key] == nil {
				totals[key] = &total{name: c.Function, place: place}
			}
			totals[key].calls++
			totals[key].own += c.OwnTime
			add(c.Calls)
		}
	}
	for _, thread := range r.Threads {
		add(thread.Calls)
	}
	var list []*total
	for _, each := range totals {
		list = append(list, each)
	}
	slices.SortFunc(list, func(a, b *total) int { return cmp.Or(cmp.Compare(b.own, a.own), cmp.Compare(a.name, b.name)) })
	var lines []cells.Line
	for i, each := range list[:min(most, len(list))] {
		text := fmt.Sprintf("%s by itself in %s", cells.Duration(each.own), each.name)
		if each.calls > 1 {
			text += fmt.Sprintf(", in %d calls", each.calls)
		}
		if each.place != "" {
			text += ", " + each.place
		}
		lines = append(lines, Labelled(first(i, "slow"), cells.Plain, text))
	}
	return lines
}
