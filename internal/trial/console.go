package trial

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"

	"github.com/kmodtrace/kmodtrace/oops"
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
	// Report is what the kernel said of it, read: the exact kind, the task, the callers.
	Report *oops.Report `json:"report,omitempty"`
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

// The bounds of a [Console].
const (
	maxMessages = 2000
	maxFaults   = 50   // of one kind
	maxText     = 500  // bytes of a message
	maxLine     = 4096 // bytes of a line that are looked at
	maxCallers  = 64   // who print at the same time
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
	// One for each thread or CPU that prints, where the console tells who it is.
	scanners map[string]*oops.Scanner
	caller   string   // of the last line that tells
	faults   []*Fault // with what is still read of each
	kept     map[FaultKind]int
}

func newConsoleParser() *consoleParser {
	return &consoleParser{now: markText{Step: StepPrepare}, scanners: make(map[string]*oops.Scanner), kept: make(map[FaultKind]int)}
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
	p.close()
	c := p.c
	c.Faults = nil
	for _, f := range p.faults {
		f.locate()
		c.Faults = append(c.Faults, *f)
	}
	return c
}

// take reads a line.
func (p *consoleParser) take() {
	line, caller := oops.Clean(strings.ReplaceAll(string(p.line), "\r", ""))
	p.line = p.line[:0]
	if rest, ok := strings.CutPrefix(line, markPrefix); ok {
		p.mark(rest)
		return
	}
	part := p.scanner(caller).Line(line)
	if p.now.Step != StepPrepare && line != "" {
		p.message(line, part.Report != nil)
	}
	if part.Begins && part.Report.Kind != oops.Backtrace {
		p.add(part.Report)
	}
}

// scanner gives that of one who prints. A module can print as if it were any number of them.
func (p *consoleParser) scanner(caller string) *oops.Scanner {
	if caller == "" {
		caller = p.caller
	}
	p.caller = caller
	s := p.scanners[caller]
	if s == nil {
		if len(p.scanners) == maxCallers {
			p.close()
		}
		s = new(oops.Scanner)
		p.scanners[caller] = s
	}
	return s
}

// close ends what is read of all.
func (p *consoleParser) close() {
	for _, s := range p.scanners {
		s.End()
	}
	clear(p.scanners)
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
	p.close()
	p.now = next
	p.c.Last = Event{Round: next.Round, Step: next.Step, Target: next.Target, Begins: true}
}

func (p *consoleParser) message(line string, fault bool) {
	if len(p.c.Messages) == maxMessages {
		p.c.MessagesLeftOut++
		return
	}
	p.c.Messages = append(p.c.Messages, Message{p.now.Round, p.now.Step, cut(line, maxText), fault})
}

// kindOf says how bad a report is.
func kindOf(k oops.Kind) FaultKind {
	switch k {
	case oops.Panic:
		return Panic
	case oops.Oops, oops.Bug, oops.AtomicSchedule:
		return Oops
	case oops.OutOfMemory:
		return Memory
	case oops.HungTask, oops.SoftLockup, oops.HardLockup, oops.RCUStall:
		return Hung
	}
	return Warning
}

func (p *consoleParser) add(r *oops.Report) {
	f := &Fault{Kind: kindOf(r.Kind), Round: p.now.Round, Step: p.now.Step, Text: cut(r.Text, maxText), Report: r}
	if p.kept[f.Kind]++; p.kept[f.Kind] > maxFaults {
		p.c.FaultsLeftOut++
		return
	}
	p.faults = append(p.faults, f)
}

// cut keeps the beginning of a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// instruction is the offset of what failed, or of the call.
func (f *Fault) instruction() uint64 {
	if f.Report != nil {
		if at := f.Report.OfModule(""); at != nil && at.Offset == f.Offset {
			return at.Instruction()
		}
	}
	return f.Offset
}

// locate takes the place from what was read: the innermost that is of a module.
func (f *Fault) locate() {
	if at := f.Report.OfModule(""); at != nil {
		f.Function, f.Offset, f.Module = at.Function, at.Offset, at.Module
	}
}
