package timeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func decimal(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// bytesText gives a number of bytes with commas.
func bytesText(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// outcome is what became of it, in two words at most.
func (a *Action) outcome() string {
	switch {
	case a.Crashed:
		return "crashed"
	case a.Outcome == tracer.Failed && a.ErrnoName != "":
		return "failed " + a.ErrnoName
	}
	return a.Outcome.String()
}

// took is how long it took, as far as that is known.
func (a *Action) took() string {
	if a.Open || a.Partial {
		return "more than " + cells.Duration(a.Known)
	}
	return cells.Duration(a.Known)
}

func (a *Action) name() string {
	if a.Module == "" {
		return "?"
	}
	return a.Module
}

// by names who did it, and for whom.
func (a *Action) by() string {
	t := a.Thread
	if t.PID == 0 && t.Comm == "" {
		return ""
	}
	user := strconv.FormatUint(uint64(t.UID), 10)
	if a.Actor != nil {
		user = record.Person(&a.Actor.Process)
	}
	text := fmt.Sprintf("%s: %s[%d]", user, t.Comm, t.PID)
	switch who, thread := record.Responsible(&a.Action); {
	case who != nil && who != a.Actor:
		text += fmt.Sprintf(", for %s: %s[%d]", record.Person(&who.Process), who.Comm, who.PID)
	case who == nil && thread != nil && thread != &a.Thread:
		text += fmt.Sprintf(", for %d: %s[%d]", thread.UID, thread.Comm, thread.PID)
	}
	return text
}

func (a *Action) when() string {
	if a.Time.IsZero() {
		return ""
	}
	return a.Time.Local().Format("2006-01-02 15:04:05 -0700")
}

func (a *Action) path() string {
	if a.File == nil {
		return ""
	}
	return a.File.Path
}

// summary says in a sentence what the picture shows, for who cannot see it.
func (p *Picture) summary() string {
	a := p.Main
	text := fmt.Sprintf("%s of module %s: %s, %s.", a.Kind, a.name(), a.outcome(), a.took())
	for _, s := range a.Spans {
		text += fmt.Sprintf(" %s %s.", s.Name, s.took())
	}
	if s := a.Failed(); s != nil {
		text += " It failed in " + s.Name + "."
	}
	if n := len(p.Actions) - 1; n > 0 {
		text += " " + plural(uint64(n), "action") + " beside it."
	}
	return text
}

func (s *Span) took() string {
	switch {
	case s.Open:
		return "not known"
	case s.Partly:
		return "more than " + cells.Duration(s.Took)
	}
	return cells.Duration(s.Took)
}

// label is what stands beside a bar.
func (s *Span) label() string {
	text := s.Name + " " + s.took()
	if s.Open {
		text = s.Name + ": end not seen"
	}
	return text
}

func plural(n uint64, word string) string { return bytesText(n) + " " + cells.Noun(n, word) }

// texts gives the lines of what was printed, without empty ones.
func texts(message string) []string {
	var lines []string
	for text := range strings.SplitSeq(message, "\n") {
		if strings.TrimSpace(text) != "" {
			lines = append(lines, cells.Printable(text))
		}
	}
	return lines
}

// someTexts gives the lines of what was printed where there is no room for all: a
// record may have been changed, and a message of the kernel's has some lines at most.
func someTexts(message string) []string {
	const longest = 2000
	lines := texts(message)
	if more := len(lines) - maxListed; more > 0 {
		lines = append(lines[:maxListed], "… and "+plural(uint64(more), "line")+" more")
	}
	for i, l := range lines {
		lines[i] = cells.Cut(l, longest)
	}
	return lines
}

// since gives a moment, counted from the beginning.
func since(t time.Duration) string {
	if t == 0 {
		return "0"
	}
	return "+" + cells.Duration(t)
}

// stoppedText says in which span an action failed.
func stoppedText(a *Action, s *Span) string {
	text := "in " + s.Name + ", " + cells.Duration(s.After+s.Took) + " after the call began"
	if a.Partial {
		text = "in " + s.Name
	}
	if a.ErrnoName != "" {
		text += ": " + a.ErrnoName
	}
	if a.Crashed {
		text += ": its thread was killed for a fault"
	}
	if s.Does != "" {
		text += ". This stage " + s.Does + "."
	}
	return text
}

// joinSome names things until it is enough for any line.
func joinSome(names []string) string {
	const enough = 40
	return strings.Join(names[:min(len(names), enough)], " ")
}
