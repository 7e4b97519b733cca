package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// resultText renders what a load or an unload came to: a block for each action,
// then the verdict. Why it is no better goes to standard error.
type resultText struct {
	theme theme
	users users
	width int
}

// labelColumns is where the values of a block begin, after two blanks and a label.
const labelColumns = len("  signature  ")

func newResultText(t theme, width int) *resultText {
	return &resultText{theme: t, users: users{}, width: width}
}

// printResult prints what came of a command: a line of JSON where that is asked for, or text.
func printResult(out io.Writer, asJSON bool, r any, render func(*resultText) string) error {
	if asJSON {
		line, err := jsonLine(r)
		if err != nil {
			return err
		}
		_, err = out.Write(line)
		return outputError(err)
	}
	_, err := io.WriteString(out, render(newResultText(themeOf(out), columnsOf(out))))
	return outputError(err)
}

func (t *resultText) render(r *proof.Result) string {
	var lines []line
	for i := range r.Actions {
		dependency := i < len(r.Actions)-1 && r.Actions[i].Outcome == tracer.Live
		lines = append(lines, t.block(&r.Actions[i], dependency)...)
	}
	if r.Cause != nil && !tellsCause(r) {
		lines = append(lines, t.causeLines(r.Cause, bad)...)
	}
	return t.text(append(lines, verdictLine(r)))
}

// text puts lines together.
func (t *resultText) text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.render(t.theme, t.width))
	}
	return b.String()
}

// tellsCause tells whether the actions of a result tell its cause already.
func tellsCause(r *proof.Result) bool {
	return len(r.Actions) > 0 && r.Actions[len(r.Actions)-1].Cause == r.Cause
}

func verdictLine(r *proof.Result) line {
	l := line{}.add(plain, r.Command+" "+r.Target+": ")
	switch r.Verdict {
	case proof.Confirmed:
		return l.add(good, string(r.Verdict)).add(plain, " by the kernel's own events")
	case proof.Refused:
		return l.add(bad, string(r.Verdict)).spaced(bad, r.ErrnoName)
	}
	return l.add(unsure, string(r.Verdict))
}

// block gives an action's lines: a headline, then what is known, each with its
// label. A dependency that went well is told in short.
func (t *resultText) block(a *account.Account, short bool) []line {
	head := line{}.add(strong, orDash(a.Module)).spaced(plain, a.Kind.String()).
		spaced(outcomeStyle(a.Outcome), outcomeText(&a.Action, t.width))
	if a.End != 0 {
		head = head.spaced(plain, shortDuration(a.Took))
	}
	lines := []line{head}
	if a.Cause != nil {
		lines = append(lines, t.causeLines(a.Cause, outcomeNote(a.Outcome))...)
	}
	if why := strings.Join(remarks(&a.Explained), ", "); why != "" {
		lines = append(lines, labelled("note", outcomeNote(a.Outcome), why))
	}
	for i := range a.Warnings {
		lines = append(lines, t.wrapped("warning", unsure, a.Warnings[i].String())...)
	}
	if !short {
		lines = append(lines, t.facts(a)...)
		lines = append(lines, t.timeline(&a.Action)...)
	}
	for i, text := range messageTexts(a.Messages) {
		lines = append(lines, labelled(first(i, "kernel"), plain, `"`+text+`"`))
	}
	return lines
}

// causeLines tells why, and what to do.
func (t *resultText) causeLines(c *cause.Cause, s style) []line {
	return append(t.wrapped("cause", s, c.String()), t.wrapped("next", plain, c.Next)...)
}

// wrapped gives a text in as many lines as it takes, the first with its label.
func (t *resultText) wrapped(label string, s style, text string) []line {
	var lines []line
	for i, part := range wrap(printable(text), t.width-labelColumns) {
		lines = append(lines, labelled(first(i, label), s, part))
	}
	return lines
}

// facts are what a load tells about its module; an unload and a request have none.
func (t *resultText) facts(a *account.Account) []line {
	if a.Kind != tracer.Load {
		return nil
	}
	var lines []line
	add := func(label, text string, s style) {
		if text != "" {
			lines = append(lines, labelled(label, s, text))
		}
	}
	add("file", cutFront(printable(fileText(a.File)), t.width-labelColumns), plain)
	lines = append(lines, t.origin(a.Origin)...)
	add("params", paramsText(&a.Action), plain)
	if m := a.Details; m != nil {
		add("address", placeText(m), plain)
		add("version", strings.Join(nonEmpty(m.Version, labelledWord("srcversion ", m.SrcVersion)), ", "), plain)
		add("taints", strings.Join(m.Taints.Names(), ", "), unsure)
		add("signature", signatureText(m.Signed, a.Origin), plain)
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
		return "not checked by this kernel" + labelledWord(", said to be of ", signer)
	case *signed:
		return "valid" + labelledWord(", of ", signer)
	}
	return "none that this kernel trusts" + labelledWord(", said to be of ", signer)
}

// origin tells where a file comes from: its hash, or why there is none, and what is
// known beside that.
func (t *resultText) origin(o *provenance.Origin) []line {
	if o == nil {
		return nil
	}
	var lines []line
	why := o.Why
	switch {
	case o.SHA256 != "":
		lines = append(lines, labelled("sha256", plain, string(o.SHA256)))
	case why != "":
		lines, why = t.wrapped("sha256", unsure, "none: "+why), ""
	}
	from := strings.Join(nonEmpty(originText(o), why), "; ")
	if from == "" {
		return lines
	}
	return append(lines, t.wrapped("from", plain, from)...)
}

func labelledWord(label, word string) string {
	if word == "" {
		return ""
	}
	return label + word
}

func nonEmpty(texts ...string) []string {
	var kept []string
	for _, s := range texts {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// timeline draws the stages to scale, one below the other.
func (t *resultText) timeline(a *tracer.Action) []line {
	room := min(max(t.width-labelColumns-stageColumns-tookColumns-2*columnGap, 8), 48)
	total := a.Took
	for _, s := range a.Stages {
		total = max(total, s.After+s.Took)
	}
	var lines []line
	for i, s := range a.Stages {
		took := "-"
		if s.Took != 0 {
			took = shortDuration(s.Took)
		}
		l := labelled(first(i, "stages"), plain, "").cell(plain, s.Stage.String(), stageColumns).cellRight(plain, took, tookColumns)
		lines = append(lines, l.add(dim, cells.Bar(s.After, s.Took, total, room)))
	}
	return lines
}

const stageColumns = len("relocate")

// labelled begins a line of a block.
func labelled(label string, s style, text string) line {
	return line{}.add(plain, "  ").cell(dim, label, labelColumns-2-columnGap).add(s, text)
}

// first gives a label to the first of several lines only.
func first(i int, label string) string {
	if i == 0 {
		return label
	}
	return ""
}
