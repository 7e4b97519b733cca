package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ResultText renders what a load or an unload came to: a block for each action,
// then the verdict. Why it is no better goes to standard error.
type ResultText struct {
	Theme term.Theme
	users Users
	Width int
}

// labelColumns is where the values of a block begin, after two blanks and a label.
const labelColumns = len("  signature  ")

// NewResultText renders for a width in columns.
func NewResultText(t term.Theme, width int) *ResultText {
	return &ResultText{Theme: t, users: Users{}, Width: width}
}

// PrintResult prints what came of a command: a line of JSON where that is asked for, or text.
func PrintResult(out io.Writer, asJSON bool, r any, render func(*ResultText) string) error {
	if asJSON {
		return term.PrintJSONLine(out, r)
	}
	_, err := io.WriteString(out, render(NewResultText(term.ThemeOf(out), term.Columns(out))))
	return term.OutputError(err)
}

// Render gives all that is known of a load or an unload of ours.
func (t *ResultText) Render(r *proof.Result) string { return t.WithCalls(r, CallsView{}) }

// WithCalls is the same, with as much of the calls inside as is asked for.
func (t *ResultText) WithCalls(r *proof.Result, view CallsView) string {
	var lines []cells.Line
	for i := range r.Actions {
		dependency := i < len(r.Actions)-1 && r.Actions[i].Outcome == tracer.Live
		lines = append(lines, t.Block(&r.Actions[i], dependency)...)
	}
	if r.Cause != nil && !tellsCause(r) {
		lines = append(lines, t.CauseLines(r.Cause, cells.Bad)...)
	}
	lines = append(lines, t.Calls(r.Calls, view)...)
	return t.Text(append(lines, VerdictLine(r)))
}

// Text puts lines together.
func (t *ResultText) Text(lines []cells.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Paint(t.Theme, t.Width))
	}
	return b.String()
}

// tellsCause tells whether the actions of a result tell its cause already.
func tellsCause(r *proof.Result) bool {
	return len(r.Actions) > 0 && r.Actions[len(r.Actions)-1].Cause == r.Cause
}

// VerdictLine says in one line what became of it.
func VerdictLine(r *proof.Result) cells.Line {
	l := cells.Line{}.Add(cells.Plain, r.Command+" "+r.Target+": ")
	switch r.Verdict {
	case proof.Confirmed:
		return l.Add(cells.Good, string(r.Verdict)).Add(cells.Plain, " by the kernel's own events")
	case proof.Refused:
		return l.Add(cells.Bad, string(r.Verdict)).Spaced(cells.Bad, r.ErrnoName)
	}
	return l.Add(cells.Unsure, string(r.Verdict))
}

// Block gives an action's lines: a headline, then what is known, each with its
// label. A dependency that went well is told in short.
func (t *ResultText) Block(a *record.Record, short bool) []cells.Line {
	head := cells.Line{}.Add(cells.Strong, cells.OrDash(a.Module)).Spaced(cells.Plain, a.Kind.String()).
		Spaced(outcomeStyle(a.Outcome), outcomeText(&a.Action, t.Width))
	if a.End != 0 {
		head = head.Spaced(cells.Plain, cells.Duration(a.Took))
	}
	lines := []cells.Line{head}
	if a.Cause != nil {
		lines = append(lines, t.CauseLines(a.Cause, outcomeNote(a.Outcome))...)
	}
	if why := strings.Join(remarks(a), ", "); why != "" {
		lines = append(lines, Labelled("note", outcomeNote(a.Outcome), why))
	}
	for i := range a.Warnings {
		lines = append(lines, t.Wrapped("warning", cells.Unsure, a.Warnings[i].String())...)
	}
	if !short {
		lines = append(lines, t.facts(a)...)
		lines = append(lines, t.timeline(&a.Action)...)
	}
	for i, l := range printedLines(a) {
		lines = append(lines, append(Labelled(first(i, "kernel"), cells.Plain, ""), l...))
	}
	return lines
}

// CauseLines tells why, and what to do.
func (t *ResultText) CauseLines(c *cause.Cause, s cells.Style) []cells.Line {
	return append(t.Wrapped("cause", s, c.String()), t.Wrapped("next", cells.Plain, c.Next)...)
}

// Wrapped gives a text in as many lines as it takes, the first with its label.
func (t *ResultText) Wrapped(label string, s cells.Style, text string) []cells.Line {
	var lines []cells.Line
	for i, part := range cells.Wrap(cells.Printable(text), t.Width-labelColumns) {
		lines = append(lines, Labelled(first(i, label), s, part))
	}
	return lines
}

// facts are what a load tells about its module; an unload and a request have none.
func (t *ResultText) facts(a *record.Record) []cells.Line {
	if a.Kind != tracer.Load {
		return nil
	}
	var lines []cells.Line
	add := func(label, text string, s cells.Style) {
		if text != "" {
			lines = append(lines, Labelled(label, s, text))
		}
	}
	add("file", cells.CutFront(cells.Printable(fileText(a.File)), t.Width-labelColumns), cells.Plain)
	lines = append(lines, t.Origin(a.Origin)...)
	add("params", paramsText(&a.Action), cells.Plain)
	if m := a.Details; m != nil {
		add("address", placeText(m), cells.Plain)
		add("version", strings.Join(NonEmpty(m.Version, LabelledWord("srcversion ", m.SrcVersion)), ", "), cells.Plain)
		add("taints", strings.Join(m.Taints.Names(), ", "), cells.Unsure)
		add("signature", signatureText(m.Signed, a.Origin), cells.Plain)
	}
	return lines
}

func placeText(m *tracer.Module) string {
	text := fmt.Sprintf("%d bytes", m.Size)
	if m.Address != 0 {
		text = fmt.Sprintf("%v, %s", m.Address, text)
	}
	if m.InitSize > 0 {
		text += fmt.Sprintf(", and %d for its init alone", m.InitSize)
	}
	return text
}

// signatureText gives the kernel's word on the signature, and whose the file says
// that it is.
func signatureText(signed *bool, o *provenance.Origin) string {
	signer := ""
	if o != nil {
		signer = o.Signer
	}
	switch {
	case signed == nil:
		return "not checked by this kernel" + LabelledWord(", said to be of ", signer)
	case *signed:
		return "valid" + LabelledWord(", of ", signer)
	}
	return "none that this kernel trusts" + LabelledWord(", said to be of ", signer)
}

// Origin tells where a file comes from: its hash, or why there is none, and what is
// known beside that.
func (t *ResultText) Origin(o *provenance.Origin) []cells.Line {
	if o == nil {
		return nil
	}
	var lines []cells.Line
	why := o.Why
	switch {
	case o.SHA256 != "":
		lines = append(lines, Labelled("sha256", cells.Plain, string(o.SHA256)))
	case why != "":
		lines, why = t.Wrapped("sha256", cells.Unsure, "none: "+why), ""
	}
	from := strings.Join(NonEmpty(originText(o), why), "; ")
	if from == "" {
		return lines
	}
	return append(lines, t.Wrapped("from", cells.Plain, from)...)
}

// LabelledWord is a label and a word in the columns of a result.
func LabelledWord(label, word string) string {
	if word == "" {
		return ""
	}
	return label + word
}

// NonEmpty leaves out the texts with nothing in them.
func NonEmpty(texts ...string) []string {
	var kept []string
	for _, s := range texts {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// timeline draws the stages to scale, one below the other.
func (t *ResultText) timeline(a *tracer.Action) []cells.Line {
	room := min(max(t.Width-labelColumns-stageColumns-tookColumns-2*cells.Gap, 8), 48)
	total := a.Took
	for _, s := range a.Stages {
		total = max(total, s.After+s.Took)
	}
	var lines []cells.Line
	for i, s := range a.Stages {
		took := "-"
		if s.Took != 0 {
			took = cells.Duration(s.Took)
		}
		l := Labelled(first(i, "stages"), cells.Plain, "").Cell(cells.Plain, s.Stage.String(), stageColumns).CellRight(cells.Plain, took, tookColumns)
		lines = append(lines, l.Add(cells.Dim, cells.Bar(s.After, s.Took, total, room)))
	}
	return lines
}

const stageColumns = len("relocate")

// Labelled begins a line of a block.
func Labelled(label string, s cells.Style, text string) cells.Line {
	return cells.Line{}.Add(cells.Plain, "  ").Cell(cells.Dim, label, labelColumns-2-cells.Gap).Add(s, text)
}

// first gives a label to the first of several lines only.
func first(i int, label string) string {
	if i == 0 {
		return label
	}
	return ""
}
