package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// EventTable renders raw events, one line each.
type EventTable struct {
	Theme term.Theme
	Width int
}

// The widths of an event's columns.
const (
	sinceBootColumns = len("123456.123456")
	threadColumns    = len("modprobe[1234567]")
	eventColumns     = len("do_one_initcall_return")
)

// Header names the columns.
func (t *EventTable) Header() string {
	return cells.Line{}.CellRight(cells.Dim, "SINCE BOOT", sinceBootColumns).Cell(cells.Dim, "THREAD", threadColumns).
		Cell(cells.Dim, "EVENT", eventColumns).Add(cells.Dim, "DETAILS").Paint(t.Theme, t.Width)
}

// Render gives the line of an event.
func (t *EventTable) Render(e *tracer.Event) string {
	return cells.Line{}.CellRight(cells.Dim, fmt.Sprintf("%.6f", e.Time.Seconds()), sinceBootColumns).
		Cell(cells.Plain, fmt.Sprintf("%s[%d]", e.Thread.Comm, e.Thread.TID), threadColumns).
		Cell(cells.Strong, e.Kind.String(), eventColumns).
		Add(cells.Plain, eventText(e)).Paint(t.Theme, t.Width)
}

// eventText gives an event's payload in words.
func eventText(e *tracer.Event) string {
	switch {
	case e.Enter != nil:
		return enterText(e.Enter)
	case e.Return != nil:
		return returnText(e.Kind, e.Return)
	case e.File != nil:
		return fmt.Sprintf("%s  device %d:%d, inode %d, %d bytes", fileText(e.File), e.File.Device.Major, e.File.Device.Minor, e.File.Inode, e.File.Size)
	case e.Image != nil:
		return imageText(e.Image)
	case e.Denial != nil:
		return fmt.Sprintf("%v %s", e.Denial.Door, resultNumber(-int64(e.Denial.Errno)))
	case e.Lookup != nil:
		return lookupText(e.Lookup)
	case e.Step != nil:
		return e.Step.Stage.String()
	case e.Params != nil:
		return fmt.Sprintf("%s %q", e.Params.Module, e.Params.Text)
	case e.Module != nil:
		return moduleText(e.Module)
	case e.Request != nil:
		return e.Request.Name
	case e.Actor != nil && e.Actor.Generation > 0:
		return generationText(e.Actor.Generation)
	case e.Actor != nil:
		return fmt.Sprintf("%q", strings.Join(e.Actor.Args, " "))
	case e.Ancestor != nil && e.Ancestor.Generation > 0:
		return fmt.Sprintf("%s, %d: %s[%d]", generationText(e.Ancestor.Generation), e.Ancestor.Index, e.Ancestor.Process.Comm, e.Ancestor.Process.PID)
	case e.Ancestor != nil:
		return fmt.Sprintf("%d: %s[%d]", e.Ancestor.Index, e.Ancestor.Process.Comm, e.Ancestor.Process.PID)
	case e.Process != nil:
		return toldText(e.Process)
	case e.Helper != nil:
		return e.Helper.Path
	case e.Directory != nil:
		return directoryText(e.Directory)
	case e.Callback != nil:
		return callbackText(e.Callback)
	case e.Message != nil:
		return messageText(e.Message)
	}
	return ""
}

func callbackText(c *tracer.Callback) string {
	text := fmt.Sprintf("%d: %s", c.Index, c.Address)
	if c.Function != "" {
		text += " " + c.Function
	}
	if c.Module != "" {
		text += " [" + c.Module + "]"
	}
	return text + " " + resultNumber(-int64(c.Errno))
}

// messageText has the level where it is known.
func messageText(m *tracer.Message) string {
	text := fmt.Sprintf("%q", strings.TrimRight(m.Text, "\n"))
	if m.Level != tracer.LevelUnknown {
		text = m.Level.String() + " " + text
	}
	return text
}

func toldText(p *tracer.Process) string {
	words := []string{fmt.Sprintf("%s[%d]", p.Comm, p.PID)}
	if p.Exe != nil {
		words = append(words, fileText(p.Exe))
	}
	return strings.Join(append(words, "control group "+p.Cgroup.Path), "  ")
}

func enterText(c *tracer.Enter) string {
	words := []string{c.Call.String()}
	if c.Compat {
		words = append(words, "32-bit")
	}
	if c.TextUnreadable {
		words = append(words, "(text unreadable)")
	} else {
		words = append(words, strconv.Quote(c.Text))
	}
	switch c.Call {
	case tracer.FinitModule:
		words = append(words, fmt.Sprintf("fd %d", c.FD))
	case tracer.InitModule:
		words = append(words, fmt.Sprintf("%d bytes", c.Size))
	}
	return strings.Join(append(words, fmt.Sprintf("flags %#x", c.Flags)), " ")
}

func returnText(kind tracer.Kind, r *tracer.Return) string {
	text := resultNumber(r.Value)
	if kind == tracer.KindRequestReturn && r.Value > 0 {
		text = "modprobe " + waitText(&r.Value)
	}
	if kind == tracer.KindDied {
		text = "by signal " + unix.SignalName(unix.Signal(r.Value))
	}
	if r.Call != 0 {
		text = r.Call.String() + " " + text
	}
	return text
}

func imageText(i *tracer.Image) string {
	text := fmt.Sprintf("%s, %d bytes", i.Format, i.Size)
	if i.Format == tracer.FormatELF {
		text += fmt.Sprintf(", %d-bit, type %d, machine %d", i.Bits, i.Type, i.Machine)
	}
	if i.Signed {
		text += fmt.Sprintf(", signature of %d bytes", i.SignatureSize)
	}
	return text
}

func lookupText(l *tracer.Lookup) string {
	if !l.Found {
		return fmt.Sprintf("%q not found", l.Name)
	}
	text := fmt.Sprintf("%q found: %v", l.Name, l.State)
	if l.Refs != nil {
		text += fmt.Sprintf(", %d references", *l.Refs)
	}
	if len(l.Holders) > 0 {
		text += ", needed by " + strings.Join(l.Holders, ", ")
	}
	if l.HoldersCut {
		text += " and more"
	}
	return text
}

func moduleText(m *tracer.Module) string {
	text := fmt.Sprintf("%s %v", m.Name, m.State)
	if m.Address != 0 {
		text += fmt.Sprintf(" at %v, %d bytes", m.Address, m.Size)
	}
	if taints := m.Taints.Names(); len(taints) > 0 {
		text += ", " + strings.Join(taints, ", ")
	}
	return text
}

// generationText says of whom an event is that is not of the actor.
func generationText(n int) string {
	if n == 1 {
		return "who started the kernel thread"
	}
	return fmt.Sprintf("who started the kernel thread, %d threads back", n)
}
