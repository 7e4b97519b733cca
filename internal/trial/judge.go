package trial

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Ended is how the machine did.
type Ended struct {
	// Panic is the kernel's last word, if it panicked; Silent that the machine stopped
	// answering, or had to be stopped, without one.
	Panic  string
	Silent bool
}

// Judge makes a report of what a guest told, what its console says, and how it ended.
func Judge(p Plan, events []Event, console Console, ended Ended) *Report {
	// What the guest told last may have been on its way when it died; the console's word
	// was not.
	j := &judge{plan: p, ended: ended, under: console.Last, report: &Report{Verdict: Passed, Files: p.Files, Params: p.Params, Times: p.Times,
		Faults: []Fault{}, Messages: console.Messages}, modules: make(map[string]*moduleTally)}
	if j.report.Messages == nil {
		j.report.Messages = []Message{}
	}
	for i := range events {
		j.event(&events[i])
	}
	j.faults(console.Faults)
	j.ending()
	j.leftovers()
	j.finish()
	return j.report
}

type judge struct {
	plan    Plan
	ended   Ended
	report  *Report
	modules map[string]*moduleTally // by file
	took    []time.Duration         // the commands
	under   Event                   // the step that began last
	done    bool
	taints  uint64 // before
}

// moduleTally collects what a file's attempts took.
type moduleTally struct {
	report       *ModuleReport
	load, unload []time.Duration
	stages       map[tracer.Stage][]time.Duration
}

func (j *judge) is(v Verdict, format string, args ...any) {
	if slices.Index(worstFirst, v) < slices.Index(worstFirst, j.report.Verdict) {
		j.report.Verdict, j.report.Why = v, fmt.Sprintf(format, args...)
	}
}

func (j *judge) event(e *Event) {
	if e.Begins {
		return
	}
	switch {
	case e.Ready != nil:
		j.report.Release, j.taints = e.Ready.Release, e.Ready.Taints
		if !e.Ready.Tracks {
			j.report.Unseen = append(j.report.Unseen, "memory from slabs: this kernel does not keep who took it")
		}
	case e.Attempt != nil:
		j.attempt(e)
	case e.Command != nil:
		j.command(e)
	case e.Left != nil:
		j.report.Rounds = e.Round
		j.report.Left = e.Left
		if j.report.LeftFirst == nil {
			j.report.LeftFirst = e.Left
		}
	case e.Step == StepDone:
		j.done = true
	}
}

func (j *judge) tally(file string) *moduleTally {
	t := j.modules[file]
	if t == nil {
		t = &moduleTally{report: &ModuleReport{File: file, Loads: []Outcome{}, Unloads: []Outcome{}}, stages: make(map[tracer.Stage][]time.Duration)}
		j.modules[file] = t
	}
	return t
}

func (j *judge) attempt(e *Event) {
	t, a := j.tally(e.Target), e.Attempt
	last := lastAction(a, e.Step)
	if last != nil && last.Module != "" {
		t.report.Module = last.Module
	}
	name := orFile(t.report.Module, e.Target)
	outcomes := &t.report.Loads
	if e.Step == StepUnload {
		outcomes = &t.report.Unloads
	}
	*outcomes = counted(*outcomes, outcomeText(a, last))
	if a.Result == Confirmed {
		t.took(e.Step, last)
		return
	}
	why := a.Reason
	if a.Cause != nil {
		why = a.Cause.String()
		if t.report.Cause == nil {
			t.report.Cause = a.Cause
		}
	}
	switch {
	case last != nil && last.Crashed:
		j.is(Crashed, "the %s of %s crashed in round %d", e.Step, name, e.Round)
	case a.Result != Refused:
		j.is(HungUp, "the %s of %s did not end within %v in round %d%s", e.Step, name, j.plan.Patience, e.Round, stageText(last))
	case e.Step == StepLoad:
		j.is(NotLive, "%s was not loaded in round %d: %s", name, e.Round, why)
	default:
		j.is(Stuck, "%s could not be unloaded in round %d: %s", name, e.Round, why)
	}
}

func stageText(a *account.Account) string {
	if a == nil || a.Stage == 0 {
		return ""
	}
	return fmt.Sprintf(": it is at its stage %v", a.Stage)
}

func lastAction(a *Attempt, step Step) *account.Account {
	kind := tracer.Load
	if step == StepUnload {
		kind = tracer.Unload
	}
	for i := len(a.Actions) - 1; i >= 0; i-- {
		if a.Actions[i].Kind == kind {
			return &a.Actions[i]
		}
	}
	return nil
}

func outcomeText(a *Attempt, last *account.Account) string {
	switch {
	case last != nil && last.Crashed:
		return "crashed"
	case a.Result == Confirmed && last != nil:
		return last.Outcome.String()
	case a.Result == Refused && a.ErrnoName != "":
		return "failed " + a.ErrnoName
	case a.Result == Refused:
		return "failed"
	}
	return a.Result
}

func counted(all []Outcome, text string) []Outcome {
	for i := range all {
		if all[i].Text == text {
			all[i].Count++
			return all
		}
	}
	return append(all, Outcome{text, 1})
}

func (t *moduleTally) took(step Step, a *account.Account) {
	switch {
	case a == nil:
	case step == StepUnload:
		t.unload = append(t.unload, a.Took)
	default:
		t.load = append(t.load, a.Took)
		for _, s := range a.Stages {
			t.stages[s.Stage] = append(t.stages[s.Stage], s.Took)
		}
	}
}

func (j *judge) command(e *Event) {
	c := j.report.Command
	if c == nil {
		c = &CommandReport{Argv: j.plan.Command}
		j.report.Command = c
	}
	c.Runs++
	j.took = append(j.took, e.Command.Took)
	if e.Command.Status == 0 && e.Command.Error == "" {
		if c.Failed == 0 {
			c.Output = e.Command.Output
		}
		return
	}
	if c.Failed++; c.Failed == 1 {
		c.Status, c.Output = e.Command.Status, e.Command.Output
	}
	why := fmt.Sprintf("exit status %d", e.Command.Status)
	if e.Command.Error != "" {
		why = e.Command.Error
	}
	j.is(Failing, "%s failed in round %d: %s", strings.Join(j.plan.Command, " "), e.Round, why)
}

// faults takes what the console shows. A crash that was seen there is told with its place.
func (j *judge) faults(faults []Fault) {
	sources := make(map[string]*source)
	for i := range faults {
		f := &faults[i]
		if f.Step == StepPrepare || f.Step == StepDone {
			continue // before and after: not theirs
		}
		f.Place = j.place(sources, f)
		j.report.Faults = append(j.report.Faults, *f)
		switch f.Kind {
		case Panic:
			j.because(Panicked, f)
		case Oops:
			j.because(Crashed, f)
		case Hung:
			j.because(HungUp, f)
		case Warning:
			j.because(Warned, f)
		}
	}
}

func (j *judge) because(v Verdict, f *Fault) {
	if j.report.Verdict == v && v != Crashed {
		return // the first is told
	}
	where := ""
	if f.Function != "" {
		where = fmt.Sprintf(" in %s+%#x", f.Function, f.Offset)
		if f.Place != "" {
			where += ", " + f.Place
		}
	}
	if v == j.report.Verdict {
		j.report.Verdict = Passed // the console knows more about it
	}
	j.is(v, "%s%s, at the %s of round %d", f.Text, where, f.Step, f.Round)
}

// fileOf gives the file of a module by its name.
func (j *judge) fileOf(module string) string {
	for _, file := range j.plan.Files {
		if t := j.modules[file]; t != nil && t.report.Module == module || moduleName(file) == module {
			return file
		}
	}
	return ""
}

// moduleName guesses it from the file's.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

func (j *judge) source(sources map[string]*source, module string) *source {
	file := j.fileOf(module)
	if file == "" {
		return nil
	}
	s, known := sources[file]
	if !known {
		s, _ = openSource(file) // without it there is no line
		sources[file] = s
	}
	return s
}

func (j *judge) place(sources map[string]*source, f *Fault) string {
	s := j.source(sources, f.Module)
	if s == nil {
		return ""
	}
	offset := f.Offset
	if f.returns && offset > 0 {
		offset--
	}
	return s.ofFunction(f.Function, offset)
}

// ending tells what it means that the guest did not come to its end.
func (j *judge) ending() {
	if j.done {
		return
	}
	at := "before the first round"
	if j.under.Round > 0 {
		at = fmt.Sprintf("at the %s of round %d", j.under.Step, j.under.Round)
		if j.under.Target != "" {
			at = fmt.Sprintf("at the %s of %s in round %d", j.under.Step, filepath.Base(j.under.Target), j.under.Round)
		}
	}
	if t := j.modules[j.fileInGuest(j.under.Target)]; t != nil && j.under.Step == StepLoad {
		t.report.Loads = counted(t.report.Loads, "no answer")
	} else if t != nil && j.under.Step == StepUnload {
		t.report.Unloads = counted(t.report.Unloads, "no answer")
	}
	switch {
	case j.ended.Panic != "":
		j.is(Panicked, "kernel panic: %s, %s", j.ended.Panic, at)
	case j.ended.Silent:
		j.is(HungUp, "the machine did not answer any more, %s", at)
	}
}

// fileInGuest gives the file of a plan by what it is called in the guest.
func (j *judge) fileInGuest(target string) string {
	for i, file := range j.plan.Files {
		if target == guestName(i, file) {
			j.tally(file)
			return file
		}
	}
	return ""
}

// ownTaints are those that a module brings by being what it is.
const ownTaints = 1<<0 | 1<<12 | 1<<13 // proprietary, out-of-tree, unsigned

func (j *judge) leftovers() {
	r := j.report
	left := r.Left
	if left == nil {
		return
	}
	r.Taints = tracer.Taints(left.Taints &^ j.taints)
	if strange := left.Taints &^ j.taints &^ ownTaints; strange != 0 {
		j.is(Warned, "the kernel is tainted: %s", strings.Join(tracer.Taints(strange).Names(), ", "))
	}
	sources := make(map[string]*source)
	for _, l := range []*Leftovers{left, r.LeftFirst} {
		for i := range l.Memory {
			m := &l.Memory[i]
			if s := j.source(sources, m.Module); s != nil && m.Section != "" && m.Place == "" {
				function, line := s.ofSection(m.Section, max(m.Offset, 1)-1)
				m.Place = strings.Join(slices.DeleteFunc([]string{function, line}, func(s string) bool { return s == "" }), ", ")
			}
		}
	}
	text := leftText(left)
	if text == "" {
		return
	}
	if first := j.firstLoad(); r.Verdict == NotLive && first && leftText(r.LeftFirst) != "" {
		// What a round left is in the way of the next one.
		r.Verdict, text = Passed, text+", and then "+r.Why
	}
	j.is(Leaking, "%s", text)
}

// firstLoad tells whether all files were loaded in the first round.
func (j *judge) firstLoad() bool {
	for _, file := range j.plan.Files {
		loads := j.tally(file).report.Loads
		if len(loads) == 0 || loads[0].Text != tracer.Live.String() {
			return false
		}
	}
	return true
}

// leftText says in short what was left: memory before all else.
func leftText(l *Leftovers) string {
	others := len(l.Entries)
	switch {
	case len(l.Memory) > 0:
		m := slices.MaxFunc(l.Memory, func(a, b Allocation) int { return cmp.Compare(a.Bytes, b.Bytes) })
		text := fmt.Sprintf("%s did not give back memory", m.Module)
		if m.Place != "" {
			text += " of " + m.Place
		}
		return text + more(others, "other thing")
	case others > 0:
		return l.Entries[0] + " was left" + more(others-1, "other thing")
	}
	return ""
}

func more(n int, what string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ", and 1 " + what
	}
	return fmt.Sprintf(", and %d %ss", n, what)
}

// finish sums up the times.
func (j *judge) finish() {
	for _, file := range j.plan.Files {
		t := j.tally(file)
		t.report.Module = orFile(t.report.Module, file)
		t.report.Load, t.report.Unload, t.report.Stages = spreadOf(t.load), spreadOf(t.unload), []StageSpread{}
		for stage := range tracer.StageInit + 1 {
			if times := t.stages[stage]; len(times) > 0 {
				t.report.Stages = append(t.report.Stages, StageSpread{stage, spreadOf(times)})
			}
		}
		j.report.Modules = append(j.report.Modules, *t.report)
	}
	if j.report.Command != nil {
		j.report.Command.Took = spreadOf(j.took)
	}
}

func orFile(module, file string) string {
	if module != "" {
		return module
	}
	return moduleName(file)
}

func spreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	return Spread{len(times), times[0], times[len(times)/2], times[len(times)-1]}
}
