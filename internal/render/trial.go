package render

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/trial"
)

// TrialText renders what a trial came to.
type TrialText struct {
	*ResultText
}

// NewTrialText renders for a width in columns.
func NewTrialText(t term.Theme, width int) *TrialText { return &TrialText{NewResultText(t, width)} }

// Render gives what a trial found.
func (t *TrialText) Render(r *trial.Report) string {
	lines := []cells.Line{t.headline(r), Labelled("rounds", cells.Plain, fmt.Sprintf("%d of %d in %.1f s, %.1f s of them to boot (%s)",
		r.Rounds, r.Times, r.Took.Seconds(), r.Booting.Seconds(), r.Accel))}
	for i := range r.Modules {
		lines = append(lines, t.module(&r.Modules[i], len(r.Modules) > 1)...)
	}
	lines = append(lines, t.command(r.Command)...)
	lines = append(lines, t.faults(r.Faults)...)
	lines = append(lines, leftOut(r.FaultsLeftOut, "complaint of the kernel")...)
	lines = append(lines, t.leftovers(r)...)
	lines = append(lines, t.messages(r)...)
	lines = append(lines, leftOut(r.MessagesLeftOut, "line of the kernel")...)
	if names := r.Taints.Names(); len(names) > 0 {
		lines = append(lines, Labelled("taints", cells.Unsure, strings.Join(names, ", ")))
	}
	for _, what := range r.Unseen {
		lines = append(lines, t.Wrapped("unseen", cells.Dim, what)...)
	}
	return t.Text(append(lines, t.verdict(r)))
}

// leftOut says what there was no room for.
func leftOut(n int, what string) []cells.Line {
	switch n {
	case 0:
		return nil
	case 1:
		return []cells.Line{Labelled("", cells.Dim, "and 1 more "+what)}
	}
	return []cells.Line{Labelled("", cells.Dim, fmt.Sprintf("and %d more %s", n, strings.Replace(what, " of", "s of", 1)))}
}

func (t *TrialText) headline(r *trial.Report) cells.Line {
	names := make([]string, len(r.Modules))
	for i := range r.Modules {
		names[i] = r.Modules[i].Module
	}
	return cells.Line{}.Add(cells.Strong, strings.Join(names, " ")).Spaced(cells.Plain, "tried on "+r.Release)
}

func (t *TrialText) module(m *trial.ModuleReport, several bool) (lines []cells.Line) {
	if several {
		lines = append(lines, Labelled("module", cells.Strong, m.Module).Spaced(cells.Dim, m.File))
	}
	lines = append(lines, attempts("load", m.Loads, m.Load, "live"))
	if len(m.Unloads) > 0 {
		lines = append(lines, attempts("unload", m.Unloads, m.Unload, "unloaded"))
	}
	lines = append(lines, t.stages(m)...)
	if m.Cause != nil {
		lines = append(lines, t.CauseLines(m.Cause, cells.Bad)...)
	}
	return lines
}

func attempts(label string, outcomes []trial.Outcome, took trial.Spread, well string) cells.Line {
	l := cells.Line{}
	for i, o := range outcomes {
		s := cells.Bad
		if o.Text == well {
			s = cells.Good
		}
		text := o.Text
		if o.Count > 1 {
			text += fmt.Sprintf(" ×%d", o.Count)
		}
		if i == 0 {
			l = Labelled(label, s, text)
		} else {
			l = l.Add(cells.Plain, ", ").Add(s, text)
		}
	}
	if len(outcomes) == 0 {
		l = Labelled(label, cells.Dim, "not tried")
	}
	return l.Spaced(cells.Plain, spreadText(took))
}

func spreadText(s trial.Spread) string {
	switch {
	case s.N == 0:
		return ""
	case s.N == 1:
		return cells.Duration(s.Med)
	}
	return fmt.Sprintf("%s (%s to %s)", cells.Duration(s.Med), cells.Duration(s.Min), cells.Duration(s.Max))
}

// stages draws the medians to one scale, and the spread beside them.
func (t *TrialText) stages(m *trial.ModuleReport) (lines []cells.Line) {
	var longest time.Duration
	for i := range m.Stages {
		longest = max(longest, m.Stages[i].Med)
	}
	const spreadColumns = len("  000.0ms (000.0ms to 000.0ms)")
	room := max(t.Width-labelColumns-len("relocate")-2-spreadColumns, 8)
	for i := range m.Stages {
		s := &m.Stages[i]
		bar := ""
		if s.Med > 0 {
			bar = cells.Bar(0, s.Med, longest, room)
		}
		l := Labelled(first(i, "stages"), cells.Plain, fmt.Sprintf("%-8s  %-*s", s.Stage, spreadColumns, spreadText(s.Spread)))
		lines = append(lines, l.Add(cells.Good, bar))
	}
	return lines
}

func (t *TrialText) command(c *trial.CommandReport) []cells.Line {
	if c == nil {
		return nil
	}
	s, text := cells.Good, "exit status 0"
	if c.Failed > 0 {
		s, text = cells.Bad, fmt.Sprintf("exit status %d, %d of %d times", c.Status, c.Failed, c.Runs)
	}
	lines := []cells.Line{Labelled("command", cells.Plain, strings.Join(c.Argv, " ")).Spaced(s, text).Spaced(cells.Plain, spreadText(c.Took))}
	for i, text := range lastLines(c.Output, 5) {
		lines = append(lines, Labelled(first(i, "output"), cells.Dim, text))
	}
	return lines
}

// lastLines keeps the end of a text.
func lastLines(text string, n int) []string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) == 1 && all[0] == "" {
		return nil
	}
	return all[max(len(all)-n, 0):]
}

// faults tells those of one kind and place once.
func (t *TrialText) faults(faults []trial.Fault) (lines []cells.Line) {
	type place struct {
		kind     trial.FaultKind
		function string
		offset   uint64
		text     string
	}
	count := map[place]int{}
	of := func(f *trial.Fault) place {
		if f.Function == "" {
			return place{kind: f.Kind, text: f.Text}
		}
		return place{kind: f.Kind, function: f.Function, offset: f.Offset}
	}
	for i := range faults {
		count[of(&faults[i])]++
	}
	for i := range faults {
		f := &faults[i]
		n := count[of(f)]
		if n == 0 {
			continue // told
		}
		delete(count, of(f))
		lines = append(lines, t.fault(f, n)...)
	}
	return lines
}

func (t *TrialText) fault(f *trial.Fault, n int) []cells.Line {
	s := cells.Bad
	if f.Kind == trial.Warning {
		s = cells.Unsure
	}
	lines := t.Wrapped(string(f.Kind), s, f.Text)
	where := fmt.Sprintf("at the %s of round %d", f.Step, f.Round)
	if f.Function != "" {
		where = fmt.Sprintf("in %s+%#x of %s, %s", f.Function, f.Offset, f.Module, where)
	}
	if f.Place != "" {
		where = f.Place + ": " + where
	}
	if n > 1 {
		where += fmt.Sprintf(", and %d more", n-1)
	}
	return append(lines, t.Wrapped("", cells.Strong, where)...)
}

// leftovers lists what was not given back, and whether it grows.
func (t *TrialText) leftovers(r *trial.Report) (lines []cells.Line) {
	if r.Left == nil {
		return nil
	}
	if len(r.Left.Memory)+len(r.Left.Entries) == 0 {
		return []cells.Line{Labelled("left", cells.Good, "nothing")}
	}
	n := 0
	label := func() string { n++; return first(n-1, "left") }
	for _, m := range t.byPlace(r.Left.Memory) {
		lines = append(lines, Labelled(label(), cells.Bad, m.text).Spaced(cells.Strong, m.place).Spaced(cells.Dim, growth(&m.Allocation, r)))
	}
	const most = 10
	for i, entry := range r.Left.Entries {
		if i == most {
			lines = append(lines, Labelled(label(), cells.Bad, fmt.Sprintf("and %d more", len(r.Left.Entries)-most)))
			break
		}
		lines = append(lines, Labelled(label(), cells.Bad, entry))
	}
	return append(lines, leftOut(r.Left.LeftOut, "thing of that kind")...)
}

// lostMemory is what is left of one place: the largest part, and a word on the others.
type lostMemory struct {
	trial.Allocation
	text, place string
}

// byPlace puts what was asked for at one place together: vmalloc takes from slabs too.
func (t *TrialText) byPlace(all []trial.Allocation) (lost []lostMemory) {
	for rest := slices.Clone(all); len(rest) > 0; {
		here := func(m trial.Allocation) bool {
			return m.Module == rest[0].Module && m.Section == rest[0].Section && m.Offset == rest[0].Offset
		}
		var group, others []trial.Allocation
		for _, m := range rest {
			if here(m) {
				group = append(group, m)
			} else {
				others = append(others, m)
			}
		}
		largest := slices.MaxFunc(group, func(a, b trial.Allocation) int { return cmp.Compare(a.Bytes, b.Bytes) })
		l := lostMemory{Allocation: largest, text: fmt.Sprintf("%d of %s", largest.Count, largest.Pool), place: largest.Place}
		if largest.Bytes > 0 {
			l.text += fmt.Sprintf(", %d bytes", largest.Bytes)
		}
		if l.place == "" {
			l.place = fmt.Sprintf("%s%s+%#x", largest.Module, largest.Section, largest.Offset)
		}
		lost, rest = append(lost, l), others
	}
	return lost
}

// growth tells whether memory of one place is lost anew in each round.
func growth(m *trial.Allocation, r *trial.Report) string {
	if r.Rounds < 2 || r.LeftFirst == nil {
		return ""
	}
	before := 0
	for i := range r.LeftFirst.Memory {
		if f := &r.LeftFirst.Memory[i]; f.Pool == m.Pool && f.Section == m.Section && f.Offset == m.Offset && f.Module == m.Module {
			before = f.Count
		}
	}
	switch {
	case before > 0 && m.Count == before*r.Rounds:
		return fmt.Sprintf("%d each round", before)
	case m.Count > before:
		return "more with the rounds"
	}
	return ""
}

// messages are the kernel's while the modules were tried, those of one text together. Of
// a fault, the trace is in the JSON.
func (t *TrialText) messages(r *trial.Report) (lines []cells.Line) {
	count := map[string]int{}
	var texts []string
	for _, m := range r.Messages {
		if m.Fault || m.Step == trial.StepLook || m.Step == trial.StepDone {
			continue
		}
		if count[m.Text]++; count[m.Text] == 1 {
			texts = append(texts, m.Text)
		}
	}
	const most = 12
	for i, text := range texts {
		if i == most {
			lines = append(lines, Labelled("", cells.Dim, fmt.Sprintf("and %d more", len(texts)-most)))
			break
		}
		l := Labelled(first(i, "kernel"), cells.Plain, `"`+text+`"`)
		if n := count[text]; n > 1 {
			l = l.Add(cells.Dim, fmt.Sprintf(" ×%d", n))
		}
		lines = append(lines, l)
	}
	return lines
}

func (t *TrialText) verdict(r *trial.Report) cells.Line {
	files := make([]string, len(r.Files))
	for i, f := range r.Files {
		files[i] = filepath.Base(f)
	}
	s := cells.Bad
	switch r.Verdict {
	case trial.Passed:
		s = cells.Good
	case trial.Warned, trial.Leaking:
		s = cells.Unsure
	}
	return cells.Line{}.Add(cells.Plain, "try "+strings.Join(files, " ")+": ").Add(s, string(r.Verdict))
}
