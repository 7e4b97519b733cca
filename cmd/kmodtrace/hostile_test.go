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

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/diag"
	"github.com/kmodtrace/kmodtrace/internal/doctor"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/inside"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/kmodtrace/kmodtrace/internal/picture"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/rules"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/scan"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/kmodtrace/kmodtrace/tracer"
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
func shownTexts(text string) map[string]func(*render.ResultText) string {
	all := records(text)
	a := all["action"].(*record.Record)
	row := filledRow(text)
	printed := func(print func(*bytes.Buffer) error) string {
		var b bytes.Buffer
		if err := print(&b); err != nil {
			panic(err)
		}
		return b.String()
	}
	inFormats := func(print func(*bytes.Buffer, fleets.Format) error) string {
		return printed(func(b *bytes.Buffer) error {
			return errors.Join(print(b, fleets.Format{}), print(b, fleets.Format{CSV: true}))
		})
	}
	recorded := func(row *journal.Record, changed bool) string {
		return history.NewText(term.Theme{}, 80, time.Now(), 1).Render(row, changed) + printed(func(b *bytes.Buffer) error {
			return errors.Join(history.RecordCSVPrinter{}.Record(b, row, changed), history.RecordJSONPrinter{}.Record(b, row, changed), history.PrintRecord(b, row, changed, false))
		})
	}
	return map[string]func(*render.ResultText) string{
		"action": func(t *render.ResultText) string {
			return render.NewActionTable(t.Theme, t.Width).Render(a) + t.Text(t.Explanation(a)) + t.Text(t.Block(a, false)) + t.Text(render.MessageLines(a, 10))
		},
		"origin": func(t *render.ResultText) string { return t.Text(t.Origin(a.Origin)) },
		"cause": func(t *render.ResultText) string {
			return t.Text(append(t.CauseLines(a.Cause, cells.Bad), t.Evidence(a.Cause)...))
		},
		"verdict": func(t *render.ResultText) string { return t.Verdict(all["verdict"].(*cause.Verdict)) },
		"meaning": func(t *render.ResultText) string { return "" }, // ours alone
		"event": func(t *render.ResultText) string {
			table, shown := &render.EventTable{Theme: t.Theme, Width: t.Width}, ""
			for _, e := range sample.Events(text) {
				shown += table.Render(e)
			}
			return shown
		},
		"coverage": func(t *render.ResultText) string {
			return t.Text(doctor.NewText(t.Theme, t.Width).Hooks(all["coverage"].(*tracer.Coverage)))
		},
		"result": func(t *render.ResultText) string { return t.Render(all["result"].(*proof.Result)) },
		"doctor": func(t *render.ResultText) string {
			return doctor.NewText(t.Theme, t.Width).Render(all["doctor"].(*doctor.Report))
		},
		"rule": func(t *render.ResultText) string { return rules.Text(t, all["rule"].(*rule.Rule)) },
		"finding": func(t *render.ResultText) string {
			f := all["finding"].(*rule.Finding)
			return t.Finding(f) + t.Text(t.FindingAtLength(f))
		},
		"scan": func(t *render.ResultText) string { return scan.Text(t, all["scan"].(*scan.Report)) },
		"refs": func(t *render.ResultText) string {
			return render.NewRefsText(t.Theme, t.Width).Render(all["refs"].(*holders.Report))
		},
		"reload": func(t *render.ResultText) string { return t.Reload(all["reload"].(*reload.Result)) },
		"build":  func(t *render.ResultText) string { return t.Build(all["build"].(*render.Build)) },
		"trial": func(t *render.ResultText) string {
			return (&render.TrialText{ResultText: t}).Render(all["trial"].(*trial.Report))
		},
		"record": func(*render.ResultText) string {
			note := *row
			note.Kind, note.Body = journal.KindLost, mustJSON(map[string]string{"text": text})
			broken := *row
			broken.Body = []byte(text)
			return recorded(row, false) + recorded(row, true) + recorded(&note, false) + recorded(&broken, false)
		},
		"first": func(t *render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				f := all["first"].(*history.FirstSeen)
				return errors.Join((&history.FirstPrinter{Theme: t.Theme, Width: t.Width}).Print(b, f, true),
					(&history.FirstPrinter{Format: history.RecordFormat{CSV: true}, Theme: t.Theme, Width: t.Width}).Print(b, f, true))
			})
		},
		"loaded": func(t *render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				return history.LoadedTable(all["loaded"].(*history.Loaded), t.Theme, t.Width, b)
			})
		},
		"anchor": func(*render.ResultText) string { return cells.Printable(journal.Anchor{Journal: text}.String()) }, // as audit prints it
		"verification": func(*render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				v := all["verification"].(*history.Verification)
				v.Problems[0].Line = text
				return v.Print(b)
			})
		},
		"module": func(*render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				table := render.ModuleTable([]kmod.Module{*sample.New[kmod.Module](text)}, map[string][]kernel.ConfigLine{text: {*sample.New[kernel.ConfigLine](text)}}, 0)
				return table.Print(b)
			})
		},
		"file": func(*render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				f := sample.New[kmod.File](text)
				problem := *f
				f.Signature.Problem = ""
				lines := append(append(render.FileFields(f), render.FileFields(&problem)...), render.SymbolFields(f)...)
				lines = append(lines, render.BlockedFields([]kernel.ConfigLine{*sample.New[kernel.ConfigLine](text)}, true)...)
				lines = append(lines, render.UnreadableFields([]kernel.Ineffective{*sample.New[kernel.Ineffective](text)})...)
				return errors.Join(render.PrintFields(b, lines, ""), render.PrintFields(b, lines, text))
			})
		},
		"kernels": func(*render.ResultText) string {
			return printed(func(b *bytes.Buffer) error {
				return cmdline.PrintKernels(b, []cmdline.KernelRow{*sample.New[cmdline.KernelRow](text)})
			})
		},
		"picture": func(t *render.ResultText) string {
			p := timeline.New([]record.Record{*a, *a})
			p.Main.Facts = sample.New[timeline.Facts](text)
			return picture.Painted(t.Theme, p.Text(&timeline.TextOptions{Columns: t.Width})) + printed(func(b *bytes.Buffer) error { return errors.Join(p.SVG(b), p.HTML(b)) })
		},
		"calls": func(t *render.ResultText) string {
			return t.Text(t.Calls(all["calls"].(*calls.Report), render.CallsView{Tree: true, Slow: true}))
		},
		"trace": func(t *render.ResultText) string { // as its result is printed
			trace := all["trace"].(*inside.Trace)
			return t.Text(append(t.Block(trace.Action, false), t.Calls(trace.Calls, render.CallsView{})...))
		},
		"fleet-verification": func(*render.ResultText) string {
			return inFormats(func(b *bytes.Buffer, f fleets.Format) error {
				return fleets.PrintReport(b, f, all["fleet-verification"].(*fleet.Report))
			})
		},
		"fleet-sighting": func(*render.ResultText) string {
			return inFormats(func(b *bytes.Buffer, f fleets.Format) error {
				return fleets.Print(b, f, fleets.WhoColumns(), []fleet.Sighting{*all["fleet-sighting"].(*fleet.Sighting)})
			})
		},
		"fleet-first": func(*render.ResultText) string {
			return inFormats(func(b *bytes.Buffer, f fleets.Format) error {
				return fleets.Print(b, f, fleets.FirstColumns(), []fleet.First{*all["fleet-first"].(*fleet.First)})
			})
		},
		"fleet-loaded": func(*render.ResultText) string {
			return inFormats(func(b *bytes.Buffer, f fleets.Format) error {
				return fleets.Print(b, f, fleets.LoadedColumns(), fleets.LoadedRows([]fleet.Loaded{*all["fleet-loaded"].(*fleet.Loaded)}))
			})
		},
		"fleet-drift": func(*render.ResultText) string {
			return inFormats(func(b *bytes.Buffer, f fleets.Format) error {
				return fleets.Print(b, f, fleets.DriftColumns(), []fleet.Drift{*all["fleet-drift"].(*fleet.Drift)})
			})
		},
		"loss": func(*render.ResultText) string { return render.LossText(tracer.Loss{Events: 1}) },
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
	r := sample.New[journal.Record](text)
	a := sample.Action(text)
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
		if json.Unmarshal(b.Bytes(), &got) != nil || json.Unmarshal(mustJSON(jsonline.Object{Value: record}), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: not the same when it is decoded", name)
		}
		if shown[name] == nil {
			t.Errorf("%s: no rendering of it is tested", name)
		}
	}
	for name, show := range shown {
		for _, width := range []int{40, 80, 1000} {
			checkShown(t, name, show(render.NewResultText(term.Theme{}, width)))
		}
	}
}

// TestHostileDiagnostics: the same of errors, their hints and other diagnostics; several
// errors stay several lines, and so does a guest's console.
func TestHostileDiagnostics(t *testing.T) {
	var b bytes.Buffer
	log := diag.New(diag.Text, &b)
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
		"targets":   {cli.Failures{hostile, hostile}.Err(), 2},
		"crash":     {&exitError{status: 125, err: fmt.Errorf("run: %w", crash)}, 4},
		"usage":     {cli.Usagef("--svg %s", hostileText), 1},
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
	asJSON := diag.New(diag.JSON, &b)
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
