package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// forged begins a line of its own in what is printed where a text could make one.
const forged = "FORGED"

// hostileText is what a file, a process or a guest may be called.
const hostileText = "\u0301x\n" + forged + "\r\n" + forged + "\x1b[2J\x1b[31m\x1b]0;t\a\x00\x7f" +
	"\u0085\u009b31m\x9b31m\xff\u061c\u200e\u202e\u2066\u2028" + forged + "\u2029\u200b\ufeff\u3164\U000e0041 y"

// checkShown finds what steers a terminal, hides, or forges a line in what was printed.
func checkShown(t *testing.T, what, shown string) {
	t.Helper()
	shown = strings.ReplaceAll(shown, "\r\n", "\n") // of CSV
	for l := range strings.Lines(shown) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		// What is broken between words stands further to the right than where a line or its label begins.
		case strings.HasPrefix(l, forged), strings.HasPrefix(l, "  "+forged):
			t.Errorf("%s: a forged line in %.800q", what, shown)
			return
		case strings.ToValidUTF8(l, "\x00") != l || strings.ContainsFunc(l, cells.Hidden):
			t.Errorf("%s: not printable: %.400q", what, l)
			return
		}
	}
}

// shownTexts are how each of the values that commands print becomes text.
func shownTexts(text string) map[string]func(*resultText) string {
	all := records(text)
	a := all["action"].(*account.Account)
	record := filledRow(text)
	printed := func(print func(*bytes.Buffer) error) string {
		var b bytes.Buffer
		if err := print(&b); err != nil {
			panic(err)
		}
		return b.String()
	}
	history := func(record *journal.Record, changed bool) string {
		return newHistoryText(term.Theme{}, 80, time.Now(), 1).render(record, changed) + printed(func(b *bytes.Buffer) error {
			return errors.Join(recordCSVPrinter{}.record(b, record, changed), recordJSONPrinter{}.record(b, record, changed), showRecord(b, record, changed, false))
		})
	}
	return map[string]func(*resultText) string{
		"action": func(t *resultText) string {
			return newActionTable(t.theme, t.width).render(a) + t.text(t.explanation(a)) + t.text(t.block(a, false)) + t.text(messageLines(&a.Action, 10))
		},
		"origin": func(t *resultText) string { return t.text(t.origin(a.Origin)) },
		"cause": func(t *resultText) string {
			return t.text(append(t.causeLines(a.Cause, cells.Bad), t.evidence(a.Cause)...))
		},
		"verdict": func(t *resultText) string { return t.verdict(all["verdict"].(*cause.Verdict)) },
		"meaning": func(t *resultText) string { return "" }, // ours alone
		"event": func(t *resultText) string {
			table, shown := &eventTable{t.theme, t.width}, ""
			for _, e := range eventsOfEachPayload(text) {
				shown += table.render(e)
			}
			return shown
		},
		"coverage": func(t *resultText) string {
			return t.text(reportText{t.theme, t.width}.hooks(all["coverage"].(*tracer.Coverage)))
		},
		"result": func(t *resultText) string { return t.render(all["result"].(*proof.Result)) },
		"doctor": func(t *resultText) string { return reportText{t.theme, t.width}.render(all["doctor"].(*report)) },
		"refs":   func(t *resultText) string { return refsText{t.theme, t.width}.render(all["refs"].(*refsRecord)) },
		"reload": func(t *resultText) string { return t.reload(all["reload"].(*reload.Result)) },
		"build":  func(t *resultText) string { return t.build(all["build"].(*buildRecord)) },
		"trial":  func(t *resultText) string { return (&trialText{t}).render(all["trial"].(*trial.Report)) },
		"record": func(*resultText) string {
			note := *record
			note.Kind, note.Body = journal.KindLost, mustJSON(map[string]string{"text": text})
			broken := *record
			broken.Body = []byte(text)
			return history(record, false) + history(record, true) + history(&note, false) + history(&broken, false)
		},
		"first": func(t *resultText) string {
			return printed(func(b *bytes.Buffer) error {
				f := all["first"].(*firstSeen)
				return errors.Join((&firstPrinter{recordFormat{}, t.theme, t.width}).print(b, f, true),
					(&firstPrinter{recordFormat{csv: true}, t.theme, t.width}).print(b, f, true))
			})
		},
		"loaded": func(t *resultText) string {
			return printed(func(b *bytes.Buffer) error { return loadedTable(all["loaded"].(*loadedJSON), t.theme, t.width, b) })
		},
		"anchor": func(*resultText) string { return cells.Printable(journal.Anchor{Journal: text}.String()) }, // as audit prints it
		"verification": func(*resultText) string {
			return printed(func(b *bytes.Buffer) error {
				v := all["verification"].(*verification)
				v.Problems[0].line = text
				return v.print(b)
			})
		},
		"module": func(*resultText) string {
			return printed(func(b *bytes.Buffer) error {
				table := moduleTable([]kmod.Module{*filled[kmod.Module](text)}, 0)
				return table.Print(b)
			})
		},
		"file": func(*resultText) string {
			return printed(func(b *bytes.Buffer) error {
				f := filled[kmod.File](text)
				problem := *f
				f.Signature.Problem = ""
				lines := append(append(infoLines(f), infoLines(&problem)...), symbolLines(f)...)
				return errors.Join((&infoOptions{}).print(b, lines), (&infoOptions{field: text}).print(b, lines))
			})
		},
		"kernels": func(*resultText) string {
			return printed(func(b *bytes.Buffer) error { return printKernels(b, []kernelRow{*filled[kernelRow](text)}) })
		},
		"picture": func(t *resultText) string {
			p := timeline.New([]account.Account{*a, *a})
			p.Main.Facts = filled[timeline.Facts](text)
			return paintedLines(t.theme, p.Text(&timeline.TextOptions{Columns: t.width})) + printed(func(b *bytes.Buffer) error { return errors.Join(p.SVG(b), p.HTML(b)) })
		},
		"loss": func(*resultText) string { return lossText(tracer.Loss{Events: 1}) },
	}
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// filledRow is an action in the journal.
func filledRow(text string) *journal.Record {
	r := filled[journal.Record](text)
	a := filledAction(text)
	a.Kind = tracer.Load
	r.Kind, r.Body = journal.KindAction, mustJSON(a)
	return r
}

// TestHostileText: whatever text stands in any field of what a command prints, it steers no
// terminal, forges no line and hides nothing; as JSON it is the same when it is decoded.
func TestHostileText(t *testing.T) {
	shown := shownTexts(hostileText)
	for name, record := range records(hostileText) {
		text, err := term.JSONLine(record)
		if err != nil {
			t.Fatal(err)
		}
		checkShown(t, name+" as JSON", string(text))
		var b bytes.Buffer
		if err := term.PrintJSON(&b, record); err != nil {
			t.Fatal(err)
		}
		checkShown(t, name+" as indented JSON", b.String())
		var got, want any
		if json.Unmarshal(b.Bytes(), &got) != nil || json.Unmarshal(mustJSON(record), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: not the same when it is decoded", name)
		}
		if shown[name] == nil {
			t.Errorf("%s: no rendering of it is tested", name)
		}
	}
	for name, render := range shown {
		for _, width := range []int{40, 80, 1000} {
			checkShown(t, name, render(newResultText(term.Theme{}, width)))
		}
	}
}

// TestHostileDiagnostics: the same of errors, their hints and other diagnostics; several
// errors stay several lines, and so does a guest's console.
func TestHostileDiagnostics(t *testing.T) {
	var b bytes.Buffer
	log := zerolog.New(plainLog{&b})
	said := func(err error) string {
		b.Reset()
		complain(log, err)
		return b.String()
	}
	hostile := errors.New(hostileText)
	crash := &lab.CrashError{Release: hostileText, Reason: hostileText, Console: "one\n" + forged + "\x1b[2J\nthree"}
	for name, c := range map[string]struct {
		err   error
		lines int
	}{
		"one":       {hostile, 1},
		"wrapped":   {fmt.Errorf("load %s: %w", hostileText, hostile), 1},
		"of a file": {&kmod.Error{Op: "load", Module: hostileText, Err: hostile}, 1},
		"hint":      {&exitError{status: 1, err: hostile, hint: hostileText}, 2},
		"several":   {errors.Join(hostile, hostile, fmt.Errorf("a: %w", errors.Join(hostile, hostile))), 3},
		"targets":   {failures{hostile, hostile}.err(), 2},
		"crash":     {&exitError{status: 125, err: fmt.Errorf("run: %w", crash)}, 4},
		"usage":     {usageErrorf("--svg %s", hostileText), 1},
	} {
		text := said(c.err)
		if name == "crash" {
			text = strings.Replace(text, "  │ "+forged, "  │ console", 1) // there it may stand
		}
		checkShown(t, name, text)
		if n := strings.Count(text, "\n"); n != c.lines {
			t.Errorf("%s: %d lines, want %d: %q", name, n, c.lines, text)
		}
	}
	b.Reset()
	log.Warn().Msg(hostileText)
	checkShown(t, "a warning", b.String())
	b.Reset()
	asJSON := zerolog.New(jsonLog{&b})
	complain(asJSON, hostile)
	checkShown(t, "--log json", b.String())
	var got struct{ Message string }
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Message != strings.ToValidUTF8(hostileText, "\ufffd") && len(got.Message) < len(hostileText) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestHostileArguments: what a command line has comes back in one line of an error, from
// every command.
func TestHostileArguments(t *testing.T) {
	t.Chdir(t.TempDir()) // man writes its pages into a directory of that name
	word := strings.ReplaceAll(hostileText, "\x00", "")
	root := newRootCommand()
	for _, cmd := range root.Commands() {
		for _, args := range [][]string{{word}, {"--" + word}, {"-" + word}, {"--json=" + word}, {"--backend", word}, {"--", "/nowhere/" + word}} {
			if slices.Contains([]string{"serve", "watch", "lab", "try", "dev", "man"}, cmd.Name()) && args[0] == "--" {
				continue // it would begin
			}
			out, errs, status := ask(t, append([]string{cmd.Name()}, args...)...)
			if status == 0 && cmd.Name() != "man" {
				continue
			}
			checkShown(t, fmt.Sprint(cmd.Name(), " ", args[0][:min(len(args[0]), 8)]), out+errs)
		}
	}
}

// TestTableColumns: the width of a table's column is that of what is printed in it.
func TestTableColumns(t *testing.T) {
	table := &term.Table{Header: []string{"A", "B"}, Rows: [][]string{{"\x1b[2J", "x"}, {"日本", "x"}, {"e\u0301", "x"}}}
	var b bytes.Buffer
	if err := table.Print(&b); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if n := cells.Count(strings.TrimSuffix(l, "\n")); n != len(`\x1b[2J`)+cells.Gap+1 {
			t.Errorf("%d cells: %q", n, l)
		}
	}
}
