package trial

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

// Fault is something that the kernel complained of.
type Fault struct {
	// Kind is oops, panic, warning, or hung.
	Kind  FaultKind `json:"kind"`
	Round int       `json:"round"`
	Step  Step      `json:"step"`
	// Text is the kernel's own headline.
	Text string `json:"text"`
	// Function is the first of a module in the trace, with its offset, and Module whose
	// it is; Place what line of the source that is, where the file tells.
	Function string `json:"function,omitempty"`
	Offset   uint64 `json:"offset,omitempty"`
	Module   string `json:"module,omitempty"`
	Place    string `json:"place,omitempty"`

	returns bool // the offset is where a call returns to
}

// FaultKind says how bad it is.
type FaultKind string

// The kinds.
const (
	Panic   FaultKind = "panic"
	Oops    FaultKind = "oops"
	Memory  FaultKind = "memory" // there was none left
	Warning FaultKind = "warning"
	Hung    FaultKind = "hung"
)

// Console is what a guest's kernel printed, as far as there is room for it: a module can
// print without end.
type Console struct {
	Faults []Fault
	// Messages are its lines while a step was taken, without times.
	Messages []Message
	// FaultsLeftOut and MessagesLeftOut count those that there was no room for.
	FaultsLeftOut, MessagesLeftOut int
	// Last is the last step that it says began.
	Last Event
}

// Message is a line that was printed in a step.
type Message struct {
	Round int    `json:"round"`
	Step  Step   `json:"step"`
	Text  string `json:"text"`
	// Fault says that it is part of what the kernel says of a fault.
	Fault bool `json:"fault,omitempty"`
}

// heads begin what the kernel says of a fault. The first that fits counts.
var heads = []struct {
	kind FaultKind
	text *regexp.Regexp
}{
	{Panic, regexp.MustCompile(`^Kernel panic - not syncing: `)},
	{Oops, regexp.MustCompile(`^BUG: (kernel NULL pointer dereference|unable to handle|stack guard page|scheduling while atomic)`)},
	{Oops, regexp.MustCompile(`^(Oops|Oops - |Internal error|Unable to handle kernel|general protection fault|kernel BUG at|invalid opcode|double fault|divide error|stack segment|int3):? ?`)},
	{Memory, regexp.MustCompile(`^(Out of memory: Killed process|Out of memory and no killable processes|.{1,16} invoked oom-killer: )`)},
	{Hung, regexp.MustCompile(`^(watchdog: )?BUG: soft lockup|^(rcu: )?INFO: rcu\S* (self-)?detected|^INFO: task .* blocked for more than`)},
	{Warning, regexp.MustCompile(`^(WARNING: |BUG: |INFO: possible recursive locking|INFO: trying to register non-static key|refcount_t: |list_(add|del) corruption|sysfs: cannot create duplicate|remove_proc_entry: |proc_dir_entry .* already registered|kobject: .* does not have a release)`)},
}

var (
	timestamp = regexp.MustCompile(`^(<\d+>)?\[ *\d+\.\d+\](\[ *[TC]\d+\])? ?`)
	// position is a function in a trace, and the module that it is in; newer kernels have
	// a build id with that.
	position = regexp.MustCompile(`\b([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x[0-9a-f]+ \[(\w+)[^\]]*\]`)
	// instruction lines have the very place that failed; others where a call returns to.
	instruction = regexp.MustCompile(`^(RIP: |pc : |WARNING: )`)
	// certain lines tell where it was; the others of a trace, with "?", are guesses.
	guess = regexp.MustCompile(`^ *\? `)
)

// The bounds of a [Console].
const (
	maxMessages = 2000
	maxFaults   = 50   // of one kind
	maxText     = 500  // bytes of a message
	maxLine     = 4096 // bytes of a line that are looked at
)

// ReadConsole finds what the kernel printed in each step, and its faults.
func ReadConsole(text string) Console {
	p := newConsoleParser()
	_, _ = p.Write([]byte(text))
	return p.end()
}

// consoleParser reads a console as it comes.
type consoleParser struct {
	mu   sync.Mutex
	c    Console
	line []byte // that has begun
	now  markText
	open *Fault // that the lines are still about
	kept map[FaultKind]int
}

func newConsoleParser() *consoleParser {
	return &consoleParser{now: markText{Step: StepPrepare}, kept: make(map[FaultKind]int)}
}

// Write takes what the kernel printed.
func (p *consoleParser) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(text)
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		p.line = append(p.line, line[:min(len(line), maxLine-len(p.line))]...)
		text = rest
		if whole {
			p.take()
		}
	}
	return n, nil
}

// end gives what was found until now.
func (p *consoleParser) end() Console {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.line) > 0 {
		p.take()
	}
	return p.c
}

// take reads a line.
func (p *consoleParser) take() {
	line := timestamp.ReplaceAllString(strings.ReplaceAll(string(p.line), "\r", ""), "")
	p.line = p.line[:0]
	if rest, ok := strings.CutPrefix(line, markPrefix); ok {
		p.mark(rest)
		return
	}
	f := faultOf(line)
	if p.now.Step != StepPrepare && line != "" {
		p.message(line, f != nil || p.open != nil || strings.Contains(line, "[ cut here ]"))
	}
	switch {
	case f != nil:
		f.Round, f.Step = p.now.Round, p.now.Step
		p.open = p.add(f)
		return
	case strings.HasPrefix(line, "---[ end ") && p.open != nil && p.open.Kind == Warning:
		p.open = nil // of an oops the registers follow
	}
	if p.open != nil && p.open.Function == "" && !guess.MatchString(line) {
		p.open.locate(line)
	}
}

// mark begins a step. A module can print marks too: none leads back to before the first
// round, where faults are nobody's.
func (p *consoleParser) mark(text string) {
	var next markText
	if json.Unmarshal([]byte(text), &next) != nil || !next.Step.known() {
		return
	}
	if next.Step == StepPrepare && p.now.Step != StepPrepare {
		return
	}
	p.now, p.open = next, nil
	p.c.Last = Event{Round: next.Round, Step: next.Step, Target: next.Target, Begins: true}
}

func (p *consoleParser) message(line string, fault bool) {
	if len(p.c.Messages) == maxMessages {
		p.c.MessagesLeftOut++
		return
	}
	p.c.Messages = append(p.c.Messages, Message{p.now.Round, p.now.Step, cut(line, maxText), fault})
}

func faultOf(line string) *Fault {
	for _, h := range heads {
		if h.text.MatchString(line) {
			return &Fault{Kind: h.kind, Text: line}
		}
	}
	return nil
}

// add adds a fault, unless its line only goes on about the last one: an oops has several
// headlines, and so has a lack of memory, and a panic may follow of either.
func (p *consoleParser) add(f *Fault) *Fault {
	open := p.open
	if open != nil && open.Kind == f.Kind && (f.Kind == Oops || f.Kind == Memory) {
		return open
	}
	if open != nil && f.Kind == Panic && f.Function == "" {
		f.Function, f.Offset, f.Module, f.returns = open.Function, open.Offset, open.Module, open.returns
	}
	f.locate(f.Text)
	f.Text = cut(f.Text, maxText)
	if p.kept[f.Kind]++; p.kept[f.Kind] > maxFaults {
		p.c.FaultsLeftOut++
		return f
	}
	p.c.Faults = append(p.c.Faults, *f)
	return &p.c.Faults[len(p.c.Faults)-1]
}

// cut keeps the beginning of a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func (f *Fault) locate(line string) {
	if f.Function != "" {
		return
	}
	if m := position.FindStringSubmatch(line); m != nil {
		f.Function, f.Module = m[1], m[3]
		f.Offset, _ = rawAddress("0x" + m[2])
		f.returns = !instruction.MatchString(line)
	}
}
