package trial

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/addr2line"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Ended is how the machine did.
type Ended struct {
	// Panic is the kernel's last word, if it panicked; Silent that the machine stopped
	// answering, or had to be stopped, without one.
	Panic  string
	Silent bool
	// Broken says why what the guest told cannot be relied on: it is not what the plan
	// allows, or whoever told it is gone.
	Broken string
}

// Judge makes a report of what a guest told, what its console says, and how it ended.
//
// The guest belongs to the module: what it tells may be false. So the worst of three
// sources counts, and a trial passes only if each step of the plan was reported.
func Judge(p Plan, events []Event, console Console, ended Ended) *Report {
	j := newJudge(p)
	for i := range events {
		j.event(&events[i])
	}
	return j.judge(console, ended)
}

func newJudge(p Plan) *judge {
	return &judge{plan: p, modules: make(map[string]*moduleTally), report: &Report{Verdict: Passed, Files: p.Files, Params: p.Params, Times: p.Times,
		Faults: []Fault{}, Messages: []Message{}}}
}

// judge makes the report when all events are in.
func (j *judge) judge(console Console, ended Ended) *Report {
	j.ended = ended
	// What the guest told last may have been on its way when it died; the console's word
	// was not. But a console that prints without end may have lost it.
	if console.Last.Step != "" {
		j.under = console.Last
	}
	if console.Messages != nil {
		j.report.Messages = console.Messages
	}
	j.report.FaultsLeftOut, j.report.MessagesLeftOut = console.FaultsLeftOut, console.MessagesLeftOut
	j.faults(console.Faults)
	j.ending()
	j.complete()
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
	looks   int                     // for what is left
	done    bool
	taints  uint64 // before
}

// moduleTally collects what a file's attempts took.
type moduleTally struct {
	report       *ModuleReport
	confirmed    map[Step]int
	load, unload []time.Duration
	stages       map[tracer.Stage][]time.Duration
}

func (j *judge) is(v Verdict, format string, args ...any) {
	if slices.Index(worstFirst, v) < slices.Index(worstFirst, j.report.Verdict) {
		j.report.Verdict, j.report.Why = v, cut(fmt.Sprintf(format, args...), maxWhy)
	}
}

// The bounds of what a guest's texts and numbers may come to in a report.
const (
	maxWhy      = 1000
	maxName     = 100
	maxOutput   = 64 << 10
	maxOutcomes = 20
	maxTook     = 1000 * time.Hour
)

// sane is a time that a step can have taken.
func sane(took time.Duration) time.Duration { return min(max(took, 0), maxTook) }

func (j *judge) event(e *Event) {
	if e.Begins {
		j.under = *e
		return
	}
	switch {
	case e.Ready != nil:
		j.report.Release, j.taints = cut(e.Ready.Release, maxName), e.Ready.Taints
		if !e.Ready.Tracks {
			j.report.Unseen = append(j.report.Unseen, "memory from slabs: this kernel does not keep who took it")
		}
	case e.Result != nil:
		j.result(e)
	case e.Command != nil:
		j.command(e)
	case e.Left != nil:
		j.report.Rounds = e.Round
		j.looks++
		e.Left.bound()
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
		t = &moduleTally{report: &ModuleReport{File: file, Loads: []Outcome{}, Unloads: []Outcome{}}, confirmed: make(map[Step]int), stages: make(map[tracer.Stage][]time.Duration)}
		j.modules[file] = t
	}
	return t
}

func (j *judge) result(e *Event) {
	t, r := j.tally(e.Target), e.Result
	last := lastAction(r, e.Step)
	if last != nil && last.Module != "" {
		t.report.Module = cut(last.Module, maxName)
	}
	name := orFile(t.report.Module, e.Target)
	outcomes := &t.report.Loads
	if e.Step == StepUnload {
		outcomes = &t.report.Unloads
	}
	*outcomes = counted(*outcomes, outcomeText(r, last))
	if r.Verdict == proof.Confirmed {
		t.confirmed[e.Step]++
		t.took(e.Step, last)
		return
	}
	why := r.Reason
	if r.Cause != nil {
		why = r.Cause.String()
		if t.report.Cause == nil {
			t.report.Cause = r.Cause
		}
	}
	switch {
	case last != nil && last.Crashed:
		j.is(Crashed, "the %s of %s crashed in round %d", e.Step, name, e.Round)
	case r.Verdict != proof.Refused:
		j.is(HungUp, "the %s of %s did not end within %v in round %d%s", e.Step, name, j.plan.Patience, e.Round, stageText(last))
	case e.Step == StepLoad:
		j.is(NotLive, "%s was not loaded in round %d: %s", name, e.Round, why)
	default:
		j.is(Stuck, "%s could not be unloaded in round %d: %s", name, e.Round, why)
	}
}

func stageText(a *record.Record) string {
	if a == nil || a.Stage == 0 {
		return ""
	}
	return fmt.Sprintf(": it is at its stage %v", a.Stage)
}

func lastAction(r *proof.Result, step Step) *record.Record {
	kind := tracer.Load
	if step == StepUnload {
		kind = tracer.Unload
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		if r.Actions[i].Kind == kind {
			return &r.Actions[i]
		}
	}
	return nil
}

func outcomeText(r *proof.Result, last *record.Record) string {
	switch {
	case last != nil && last.Crashed:
		return "crashed"
	case r.Verdict == proof.Confirmed && last != nil:
		return last.Outcome.String()
	case r.Verdict == proof.Refused && r.ErrnoName != "":
		return "failed " + r.ErrnoName
	case r.Verdict == proof.Refused:
		return "failed"
	}
	return string(r.Verdict)
}

func counted(all []Outcome, text string) []Outcome {
	text = cut(text, maxName)
	for i := range all {
		if all[i].Text == text {
			all[i].Count++
			return all
		}
	}
	if len(all) == maxOutcomes {
		return counted(all, all[maxOutcomes-1].Text) // only a guest that lies has so many
	}
	return append(all, Outcome{text, 1})
}

func (t *moduleTally) took(step Step, a *record.Record) {
	switch {
	case a == nil:
	case step == StepUnload:
		t.unload = append(t.unload, sane(a.Took))
	default:
		t.load = append(t.load, sane(a.Took))
		for _, s := range a.Stages {
			if times := t.stages[s.Stage]; s.Stage <= tracer.StageInit && len(times) < len(t.load) { // once a load
				t.stages[s.Stage] = append(times, sane(s.Took))
			}
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
	j.took = append(j.took, sane(e.Command.Took))
	e.Command.Output = cut(e.Command.Output, maxOutput)
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
	sources := make(map[string]*addr2line.Module)
	for i := range faults {
		f := &faults[i]
		if f.Step == StepPrepare || f.Step == StepDone && !j.theirs(f) {
			continue // before and after: not theirs
		}
		f.Place = j.place(sources, f)
		j.report.Faults = append(j.report.Faults, *f)
		switch f.Kind {
		case Panic:
			j.because(Panicked, f)
		case Oops:
			j.because(Crashed, f)
		case Memory:
			j.because(Starved, f)
		case Hung:
			j.because(HungUp, f)
		case Warning:
			j.because(Warned, f)
		}
	}
}

// theirs says whether a fault after the last step is a module's: that all steps are over is
// the guest's word.
func (j *judge) theirs(f *Fault) bool {
	return f.Kind == Panic || f.Kind == Oops || f.Module != "" && j.fileOf(f.Module) != ""
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
	if f.Step == StepDone {
		j.is(v, "%s%s, after the last step", f.Text, where)
		return
	}
	j.is(v, "%s%s, at the %s of round %d", f.Text, where, f.Step, f.Round)
}

// fileOf gives the file of a module by its name.
func (j *judge) fileOf(module string) string {
	for _, file := range j.plan.Files {
		if t := j.modules[file]; t != nil && t.report.Module == module || kmod.NameOfFile(file) == module {
			return file
		}
	}
	return ""
}

func (j *judge) source(sources map[string]*addr2line.Module, module string) *addr2line.Module {
	file := j.fileOf(module)
	if file == "" {
		return nil
	}
	s, known := sources[file]
	if !known {
		s = linesOf(file)
		sources[file] = s
	}
	return s
}

// maxDebug is how much debug information is read.
const maxDebug = 512 << 20

// linesOf reads a module's file; nil where it cannot be read: then no line is named.
func linesOf(file string) *addr2line.Module {
	image, err := kmod.ReadImage(file)
	if err != nil {
		return nil
	}
	lines, err := addr2line.New(image, maxDebug)
	if err != nil {
		return nil
	}
	return lines
}

func (j *judge) place(sources map[string]*addr2line.Module, f *Fault) string {
	s := j.source(sources, f.Module)
	if s == nil {
		return ""
	}
	return s.Function(f.Function, f.instruction())
}

// ending tells what it means that the guest did not come to its end.
func (j *judge) ending() {
	if j.done && j.ended.Broken == "" {
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
	case j.ended.Broken != "":
		j.is(HungUp, "%s, %s", j.ended.Broken, at)
	case j.ended.Silent:
		j.is(HungUp, "the machine did not answer any more, %s", at)
	}
}

// complete tells what a machine did not report that says that all went well.
func (j *judge) complete() {
	if slices.Index(worstFirst, j.report.Verdict) <= slices.Index(worstFirst, Stuck) {
		return // then it did not come to the rest
	}
	const format = "the machine ended without a report of each %s"
	for _, file := range j.plan.Files {
		t := j.tally(file)
		switch {
		case t.confirmed[StepLoad] < j.plan.Times:
			j.is(HungUp, format+" of %s", StepLoad, orFile(t.report.Module, file))
		case t.confirmed[StepUnload] < j.plan.Times:
			j.is(HungUp, format+" of %s", StepUnload, orFile(t.report.Module, file))
		}
	}
	switch {
	case len(j.plan.Command) > 0 && len(j.took) < j.plan.Times:
		j.is(HungUp, format, StepCommand)
	case j.looks < j.plan.Times || !j.done:
		j.is(HungUp, format, "step")
	}
}

// fileInGuest gives the file of a plan by what it is called in the guest, or here.
func (j *judge) fileInGuest(target string) string {
	for i, file := range j.plan.Files {
		if target == guestName(i, file) || target == file {
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
	sources := make(map[string]*addr2line.Module)
	for _, l := range []*Leftovers{left, r.LeftFirst} {
		for i := range l.Memory {
			m := &l.Memory[i]
			if s := j.source(sources, m.Module); s != nil && m.Section != "" && m.Place == "" {
				function, line := s.Section(m.Section, max(m.Offset, 1)-1)
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
	others := len(l.Entries) + l.LeftOut
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
	if n == 0 {
		return ""
	}
	return ", and " + cells.Plural(n, what)
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
	return kmod.NameOfFile(file)
}

func spreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	return Spread{len(times), times[0], times[len(times)/2], times[len(times)-1]}
}
