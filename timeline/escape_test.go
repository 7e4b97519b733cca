package timeline

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// hostilePicture has a text wherever somebody else's may be.
func hostilePicture(text string) *Picture {
	failed := record.Record{Action: tracer.Action{
		Kind: tracer.Load, Module: text, Outcome: tracer.Failed, ErrnoName: "EINVAL", Stage: tracer.StageInit,
		Start: 10, End: 1010, Took: 1000, Thread: tracer.Thread{PID: 1, Comm: text},
		Actor: &tracer.Actor{Process: tracer.Process{PID: 1, User: text, Comm: text}},
		File:  &tracer.File{Path: text}, Params: &tracer.Params{Text: text}, Image: &tracer.Image{Size: 1 << 60, Format: tracer.Format(text)},
		Stages:       []tracer.StageTime{{Stage: tracer.StageRead, After: 1, Took: 9}, {Stage: tracer.StageInit, After: 10, Took: 900}},
		Messages:     []string{text, text + "\n" + text, ""},
		MessageTimes: []time.Duration{5, 20, 999},
		Details:      &tracer.Module{Name: text, Version: text, SrcVersion: text, Size: 1, InitSize: 1},
	}}
	failed.Cause = &cause.Cause{Code: cause.InitRefused, Text: text, Next: text}
	live := failed
	live.Outcome, live.Start, live.Cause = tracer.Live, 0, nil
	p := New([]record.Record{live, failed})
	p.Main.Facts = &Facts{
		FileSize: 1, Size: 2, Compression: text,
		Sections:  []Section{{Name: text, Kind: kmod.SectionText, Size: 1}, {Name: text, Kind: kmod.SectionKind(text), Size: 1 << 62, Init: true}},
		Providers: []Provider{{text, []string{text, text}}, {"", []string{text}}}, Missing: []string{text}, Doubts: []string{text},
	}
	return p
}

func hostile() []string {
	return []string{
		"", "   ", "hello", "\x1b[2J\x1b]0;owned\x07", "a\nkernel: \"forged\"\r\nb", "\u009b31mred", "\u202egnp.exe\u2066", "\xff\xfe\x80abc",
		strings.Repeat("界", 100), strings.Repeat("e\u0301\u0302", 100), strings.Repeat("x", 4096), strings.Repeat("/x", 2000), "a\x00b", "a\u200bb\ufeff",
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `]]></style><style>*{display:none}`, `</svg></title><svg onload=alert(1)>`,
		`javascript:alert(1)`, `url(http://example.com/x)`, "&amp;&#x41;&lt;", "'`{{.Title}}", "\ufffe\uffff", "-->", "%s%d%!", "\U000e0041",
		"\u3164\u034f\ufe0f\U000e0100", "\u0301x \u0302", "\u061c\u200e\u200f\u202a\u2069", "\u2028\u2029\u0085",
	}
}

// FuzzRecord: a record that somebody has changed is still drawn, whatever is in it.
func FuzzRecord(f *testing.F) {
	for _, name := range []string{"hello", "refused", "partial", "long"} {
		text, err := os.ReadFile("testdata/records/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"actions":[{"took_ns":-1,"start_boottime_ns":9223372036854775807,"stages":[{"stage":"init","after_ns":-5,"took_ns":9223372036854775807}]},{"end_boottime_ns":1,"took_ns":9223372036854775807,"start_boottime_ns":-9223372036854775808}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var record struct {
			Actions []record.Record
			Facts   *Facts
		}
		if jsonline.Unmarshal(text, &record) != nil || len(record.Actions) == 0 {
			return
		}
		p := New(record.Actions)
		p.Main.Facts = record.Facts
		drawn := forms(t, p)
		for _, form := range []string{"svg", "html"} {
			checkMarkup(t, drawn[form])
			if strings.Contains(drawn[form], "NaN") && !strings.Contains(string(text), "NaN") {
				t.Errorf("%s has places that are not numbers", form)
			}
		}
		checkText(t, drawn["80.txt"], 80, false)
	})
}

func TestRecordedForms(t *testing.T) {
	for name, p := range recorded(t) {
		drawn := forms(t, p)
		for form, text := range drawn {
			if form == "svg" || form == "html" {
				t.Run(name+"."+form, func(t *testing.T) { checkMarkup(t, text) })
			}
		}
	}
}

// ours are the elements that the pictures are made of.
func ours() []string {
	return strings.Fields(`svg title desc style defs pattern rect line path text
		html head meta body main header footer section figure h1 h2 p dl div dt dd table thead tbody tr th td ol li code span small details summary`)
}

// outside finds what a browser would follow or run.
var outside = regexp.MustCompile(`(?i)^(href|src|srcset|data|action|on.*|xlink:.*)$`)

func checkMarkup(t *testing.T, drawn string) {
	t.Helper()
	if i := strings.IndexFunc(drawn, func(r rune) bool { return r != '\n' && cells.Hidden(r) }); i >= 0 || !utf8.ValidString(drawn) {
		t.Errorf("not printable at %d: %q", i, drawn[max(i, 0):min(len(drawn), max(i, 0)+40)])
	}
	d := xml.NewDecoder(strings.NewReader(drawn)) // the pages are well-formed as XML too
	var inside []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %.2000q", err, drawn)
		}
		switch e := token.(type) {
		case xml.StartElement:
			checkElement(t, e)
			inside = append(inside, e.Name.Local)
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		case xml.CharData:
			if slices.Contains(inside, "style") && regexp.MustCompile(`(?i)@import|url\(`).Match(e) {
				t.Errorf("a style refers to something: %.200q", e)
			}
		case xml.ProcInst, xml.Comment:
			t.Errorf("%T: %q", token, token)
		}
	}
}

func checkElement(t *testing.T, e xml.StartElement) {
	t.Helper()
	if !slices.Contains(ours(), e.Name.Local) {
		t.Errorf("an element %s", e.Name.Local)
	}
	for _, a := range e.Attr {
		name := a.Name.Local
		value := strings.ReplaceAll(a.Value, "fill:url(#", "")
		foreign := name != "xmlns" && regexp.MustCompile(`(?i)url\(|://|javascript:`).MatchString(value)
		if outside.MatchString(name) || foreign {
			t.Errorf("%s has %s=%q", e.Name.Local, name, a.Value)
		}
	}
}

func checkText(t *testing.T, drawn string, width int, asciiOnly bool) {
	t.Helper()
	for l := range strings.Lines(drawn) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case cells.Count(l) > width:
			t.Errorf("%d cells of %d: %q", cells.Count(l), width, l)
		case strings.ContainsFunc(l, func(r rune) bool { return cells.Hidden(r) || asciiOnly && r > unicode.MaxASCII }):
			t.Errorf("not printable: %q", l)
		case strings.HasSuffix(l, " "):
			t.Errorf("blanks at the end: %q", l)
		}
	}
}
