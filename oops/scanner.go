package oops

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// The bounds of a report: a module can print without end.
const (
	maxFrames      = 64
	maxText        = 1000 // bytes of a text or message
	maxLine        = 4096 // bytes of a line that are looked at
	maxDescription = 8    // lines between a headline and what runs where
	maxLong        = 400  // the same of those who describe at length: lockdep, stalls
	maxOthers      = 8    // lines of others inside a report
)

// Scanner reads lines one by one, of one thread or of a console. The zero value is ready.
type Scanner struct {
	open  *Report
	phase phase

	sure    bool // the kernel's own lines have followed the headline
	unknown int  // lines since the last that the kernel's reports have
	traced  bool // the trace has begun
	header  bool // what runs where is told
	listing bool // names of modules may follow
	lines   int  // of open that are certain to be its own
}

type phase uint8

const (
	idle      phase = iota
	announced       // by "cut here", or a line of ===: the headline follows
	described       // after the headline
	running         // registers, trace
	tail            // the end was seen: registers once more
)

// Part is what a line is part of.
type Part struct {
	// Report is nil where the line is an ordinary message. It is not complete before [Scanner.End],
	// or before the first line of another one.
	Report *Report
	// Begins is set for the headline.
	Begins bool
	// Assumed says that the line alone does not show that it is the report's. It is, if a line
	// that does follows.
	Assumed bool
}

// begins tells whether a report begins with a line, or may.
func begins(line string) bool {
	line = trim(line)
	if isDelimiter(line) || isTrace(line) || taskOf(line) != nil {
		return true
	}
	h, _ := headOf(line)
	return h != nil
}

func trim(line string) string { return strings.TrimRight(line[:min(len(line), maxLine)], "\r\n") }

// Line takes the next line, without what [Clean] takes away.
func (s *Scanner) Line(line string) Part {
	line = trim(line)
	switch {
	case isDelimiter(line):
		return s.delimit(line)
	case s.phase == announced:
		if h, m := headOf(line); h != nil && h.whole {
			return s.begin(h, m, line)
		}
	default:
		if h, m := headOf(line); h != nil && !s.continues(h) && (h.whole || s.phase == idle || s.over() || !s.sure) {
			return s.begin(h, m, line)
		}
	}
	if m := taskOf(line); m != nil && s.another(m) {
		s.End()
		s.open, s.phase, s.sure = &Report{Kind: Backtrace, Text: cut(line)}, running, true
		s.take(line)
		return Part{Report: s.open, Begins: true}
	}
	if s.phase == idle {
		if !isTrace(line) {
			return Part{}
		}
		s.open, s.phase, s.sure = &Report{Kind: Backtrace, Text: cut(line)}, running, true
		s.take(line)
		return Part{Report: s.open, Begins: true}
	}
	return s.inside(line)
}

// End closes the report that is open.
func (s *Scanner) End() {
	if r := s.open; r != nil {
		r.Lines = s.lines
		r.settle()
		r.Incomplete = !s.over() && !(s.traced && !r.marked())
	}
	*s = Scanner{}
}

// over tells whether the end of the report was seen.
func (s *Scanner) over() bool { return s.phase == tail }

// marked tells whether a report of its kind ends with a line that says so.
func (r *Report) marked() bool {
	switch r.Kind {
	case Oops, Bug, KASAN, KFENCE, KCSAN, KMSAN, UBSAN:
		return true
	case Warning:
		return r.Place.Source != "" || strings.HasPrefix(r.Text, "WARNING: CPU: ")
	}
	return false
}

// framed tells whether a report of its kind stands between two lines of ===.
func (r *Report) framed() bool {
	return r.Kind == KASAN || r.Kind == KFENCE || r.Kind == KCSAN || r.Kind == KMSAN
}

// several tells whether traces of several tasks or CPUs belong to one report of its kind.
func (r *Report) several() bool {
	return r.Kind == RCUStall || r.Kind == SoftLockup || r.Kind == HardLockup
}

// long tells whether a report of its kind may describe at length.
func (r *Report) long() bool {
	return r.Kind == Lockdep || r.Kind == KCSAN || r.Kind == KASAN || r.several()
}

// delimit takes "cut here" or a line of ===.
func (s *Scanner) delimit(line string) Part {
	if s.open != nil && s.phase >= described && strings.HasPrefix(line, "=") {
		if s.traced {
			s.sure, s.phase = true, tail
		}
		s.lines++
		return Part{Report: s.open}
	}
	s.End()
	s.open, s.phase, s.lines = &Report{}, announced, 1
	return Part{Report: s.open, Assumed: true}
}

func isDelimiter(line string) bool {
	return strings.HasPrefix(line, "------------[ cut here ]") || len(line) >= 30 && strings.Trim(line, "=") == ""
}

// continues tells whether a headline is only a further one of the report that is open: an oops
// has several, and so has a lack of memory.
func (s *Scanner) continues(h *headline) bool {
	if s.open == nil || s.over() {
		return false
	}
	switch s.open.Kind {
	case Oops, Bug:
		return (h.kind == Oops || h.kind == Bug) && !s.traced
	case OutOfMemory, RCUStall:
		return h.kind == s.open.Kind
	case Lockdep, HungTask, KASAN:
		return !h.whole
	}
	return false
}

// begin opens a report by its headline.
func (s *Scanner) begin(h *headline, groups []string, line string) Part {
	r, lines := &Report{}, 0
	var before *Report
	switch {
	case s.phase == announced:
		r, lines = s.open, s.lines
	case s.open != nil && h.kind == Panic && s.open.Kind.Fatal():
		before = s.open
		fallthrough
	default:
		s.End()
	}
	*s = Scanner{open: r, phase: described, sure: h.whole, lines: lines + 1}
	r.Kind, r.Text = h.kind, cut(line)
	r.name(h.text.SubexpNames(), groups)
	if before != nil {
		r.Place = before.Place // a panic because of an oops
	}
	return Part{Report: r, Begins: true, Assumed: !h.whole}
}

// taskOf gives the groups of a line on what runs where; nil for others.
func taskOf(line string) []string {
	if !strings.HasPrefix(line, "CPU: ") {
		return nil
	}
	return taskLine.FindStringSubmatch(line)
}

func headOf(line string) (*headline, []string) {
	if line == "" {
		return nil, nil
	}
	for _, h := range headlinesBy()[line[0]] {
		if !h.maybe(line) {
			continue
		}
		if m := h.text.FindStringSubmatch(line); m != nil {
			return h, m
		}
	}
	return nil, nil
}

// another tells whether a line on what runs where begins a backtrace, and belongs to no report
// that is open.
func (s *Scanner) another(groups []string) bool {
	switch {
	case s.open == nil || s.over():
		return true
	case s.open.several() || s.phase == announced:
		return false
	case s.header:
		return true
	}
	pid, _ := strconv.Atoi(groups[taskLine.SubexpIndex("pid")])
	return s.open.PID != 0 && s.open.PID != pid
}

// inside takes a line while a report is open.
func (s *Scanner) inside(line string) Part {
	r := s.open
	known := shape.MatchString(line) || frameLine.MatchString(line) || bareFrame.MatchString(line)
	known = known || s.listing && asideLine.MatchString(line)
	switch {
	case strings.TrimSpace(line) == "":
		return Part{Report: r, Assumed: true}
	case s.phase == tail && (!known || !s.follows(line)):
		s.End()
		return Part{}
	case known:
		s.unknown = 0
		if s.phase == announced { // the headline is lost
			r.Kind, r.Text = Backtrace, cut(line)
		}
		s.sure = true
		if s.phase < running {
			s.phase = running
		}
		s.take(line)
		return Part{Report: r}
	}
	s.listing = false
	s.unknown++
	switch {
	case s.phase == announced:
		r.say(line)
		fallthrough
	case s.phase == described && s.unknown <= s.mayDescribe():
		if s.unknown > maxDescription && s.phase == announced {
			break
		}
		return Part{Report: r, Assumed: true}
	case s.phase == running && (r.long() && !s.traced || r.framed()):
		return Part{Report: r, Assumed: true} // lockdep lists chains between what runs and the trace
	case s.phase == running && s.traced && !r.marked(), s.unknown > maxOthers:
		s.finish()
		s.End()
		return Part{}
	}
	if s.phase == running {
		return Part{} // a line of others
	}
	s.End()
	return Part{}
}

func (s *Scanner) mayDescribe() int {
	switch {
	case !s.sure:
		return 2
	case s.open.long():
		return maxLong
	}
	return maxDescription
}

// follows tells whether a line may come after the end of a report: an oops has its registers
// once more, a lack of memory the state of all of it.
func (s *Scanner) follows(line string) bool {
	switch s.open.Kind {
	case Oops, Bug, Panic:
		return !isTrace(line) && !frameLine.MatchString(line)
	case KASAN, KFENCE, Lockdep, HungTask, RCUStall, SoftLockup, HardLockup:
		return true
	case NoAllocation, OutOfMemory:
		return !isTrace(line) && !frameLine.MatchString(line)
	}
	return endLine.MatchString(line)
}

// finish marks the end of a report that has no line for that.
func (s *Scanner) finish() {
	if s.traced && !s.open.marked() {
		s.phase = tail
	}
}

func isTrace(line string) bool {
	return strings.HasPrefix(line, "Call Trace:") || strings.HasPrefix(line, "Call trace:")
}

// take reads what a line of the report tells.
func (s *Scanner) take(line string) {
	r := s.open
	s.lines++
	s.listing = strings.HasPrefix(line, "Modules linked in:") || s.listing && asideLine.MatchString(line)
	if m := taskOf(line); m != nil {
		s.header = true
		r.name(taskLine.SubexpNames(), m)
		return
	}
	if m := faultLine.FindStringSubmatch(line); m != nil && !s.traced && s.phase != tail {
		source := r.Place.Source
		if r.Place.Function == "" {
			r.name(faultLine.SubexpNames(), m)
		}
		r.Place.Source = source
		return
	}
	switch {
	case isTrace(line):
		s.traced = true
	case endLine.MatchString(line):
		s.phase = tail
	case strings.TrimSpace(line) == "</TASK>" && !r.marked():
		s.phase = tail
	default:
		if m := frameLine.FindStringSubmatch(line); m != nil && s.phase != tail {
			s.traced = true
			r.frame(m)
		}
	}
}

// frame adds a caller.
func (r *Report) frame(groups []string) {
	if len(r.Frames) == maxFrames {
		r.FramesLeftOut++
		return
	}
	f, size := frameOf(frameLine, groups)
	f.returns = true
	f.Unsure = groups[frameLine.SubexpIndex("guess")] != "" || f.Offset >= size
	r.Frames = append(r.Frames, f)
}

func frameOf(text *lazyregexp.Regexp, groups []string) (f Frame, size uint64) {
	for i, key := range text.SubexpNames() {
		switch key {
		case "function":
			f.Function = groups[i]
		case "module":
			f.Module = groups[i]
		case "offset":
			f.Offset, _ = strconv.ParseUint(groups[i], 16, 64)
		case "size":
			size, _ = strconv.ParseUint(groups[i], 16, 64)
		}
	}
	return f, size
}

// name keeps what the groups of an expression say.
func (r *Report) name(keys, groups []string) {
	for i, key := range keys {
		value := groups[i]
		if value == "" {
			continue
		}
		switch key {
		case "function":
			r.Place.Function = value
		case "module":
			r.Place.Module = value
		case "offset":
			r.Place.Offset, _ = strconv.ParseUint(value, 16, 64)
		case "source":
			r.Place.Source = value
		case "comm":
			r.Comm = value
		case "pid":
			r.PID, _ = strconv.Atoi(value)
		case "cpu":
			if n, err := strconv.Atoi(value); err == nil {
				r.CPU = &n
			}
		}
	}
}

// say adds a line to what a WARN says.
func (r *Report) say(line string) {
	if r.Message != "" {
		r.Message += "\n"
	}
	r.Message = cut(r.Message + line)
}

// settle finds the place of what has no instruction that failed, and takes the place away from
// the callers.
func (r *Report) settle() {
	if len(r.Frames) > 0 && r.Frames[0].Function == r.Place.Function && r.Frames[0].Module == r.Place.Module {
		r.Frames = r.Frames[1:] // arm64 begins the trace with it
	}
	if r.Place.Function != "" || r.Kind.Fatal() && r.Kind != Panic {
		return
	}
	for i := range r.Frames {
		f := &r.Frames[i]
		if f.Unsure || f.Module == "" && machinery.MatchString(f.Function) {
			continue
		}
		source := r.Place.Source
		r.Place = *f
		r.Place.Source = source
		r.Frames = r.Frames[i+1:]
		return
	}
}

// cut keeps the beginning of a text.
func cut(text string) string {
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
