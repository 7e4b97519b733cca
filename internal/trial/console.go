package trial

import (
	"encoding/json"
	"regexp"
	"strings"
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
	Warning FaultKind = "warning"
	Hung    FaultKind = "hung"
)

// Console is what a guest's kernel printed.
type Console struct {
	Faults []Fault
	// Messages are its lines while a step was taken, without times.
	Messages []Message
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

// ReadConsole finds what the kernel printed in each step, and its faults.
func ReadConsole(text string) Console {
	var c Console
	var now markText
	now.Step = StepPrepare
	var open *Fault // that the lines are still about
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		line = timestamp.ReplaceAllString(strings.TrimRight(line, "\n"), "")
		if rest, ok := strings.CutPrefix(line, markPrefix); ok {
			var next markText
			if json.Unmarshal([]byte(rest), &next) == nil {
				now, open = next, nil
				c.Last = Event{Round: next.Round, Step: next.Step, Target: next.Target, Begins: true}
			}
			continue
		}
		f := faultOf(line)
		if now.Step != StepPrepare && line != "" {
			c.Messages = append(c.Messages, Message{now.Round, now.Step, line, f != nil || open != nil || strings.Contains(line, "[ cut here ]")})
		}
		switch {
		case f != nil:
			f.Round, f.Step = now.Round, now.Step
			open = c.add(f, open)
			continue
		case strings.HasPrefix(line, "---[ end ") && open != nil && open.Kind == Warning:
			open = nil // of an oops the registers follow
		}
		if open != nil && open.Function == "" && !guess.MatchString(line) {
			open.locate(line)
		}
	}
	return c
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
// headlines, and a panic may follow of it.
func (c *Console) add(f, open *Fault) *Fault {
	if open != nil && open.Kind == Oops && f.Kind == Oops {
		return open
	}
	if open != nil && f.Kind == Panic && f.Function == "" {
		f.Function, f.Offset, f.Module, f.returns = open.Function, open.Offset, open.Module, open.returns
	}
	f.locate(f.Text)
	c.Faults = append(c.Faults, *f)
	return &c.Faults[len(c.Faults)-1]
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
