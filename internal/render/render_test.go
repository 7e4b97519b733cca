package render

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/doctor"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// hostile texts try to steer the terminal, to forge lines, or to break columns.
func hostile() map[string]string {
	return map[string]string{
		"escape":     "\x1b[2J\x1b]0;owned\x07",
		"newlines":   "a\nkernel: \"forged\"\r\nb",
		"C1":         "\u009b31mred",
		"bidi":       "\u202egnp.exe\u2066",
		"not UTF-8":  "\xff\xfe\x80abc",
		"wide":       strings.Repeat("界", 100),
		"combining":  strings.Repeat("e\u0301\u0302", 100),
		"long":       strings.Repeat("x", 4096),
		"slashes":    strings.Repeat("/x", 2000),
		"blank":      "   ",
		"empty":      "",
		"NUL":        "a\x00b",
		"zero width": "a\u200bb\ufeff",
	}
}

// renderings gives what every renderer makes of a text that is everywhere.
func renderings(text string, width int) map[string]string {
	th := term.Theme{}
	action := sample.New[record.Record](text)
	r := sample.New[proof.Result](text)
	r.Target = text
	failed := *action
	failed.Outcome = tracer.Failed
	table := NewActionTable(th, width)
	table.users = Users{1: "alice"}
	results := NewResultText(th, width)
	results.users = Users{1: "alice"}
	all := map[string]string{
		"header": table.Header(),
		"action": table.Render(action),
		"failed": table.Render(&failed),
		"result": results.Render(r),
		"report": doctor.NewText(th, width).Render(sample.New[doctor.Report](text)),
	}
	events := &EventTable{Theme: th, Width: width}
	for name, e := range sample.Events(text) {
		all["event "+name] = events.Render(e)
	}
	return all
}

// TestEventText: each payload is told.
func TestEventText(t *testing.T) {
	for name, e := range sample.Events("text") {
		if told := eventText(e) != ""; told != (name != "nothing") {
			t.Errorf("%s: told %t", name, told)
		}
	}
	refs := int32(2)
	for want, e := range map[string]tracer.Event{
		"elf, 1200 bytes, 64-bit, type 1, machine 62, signature of 500 bytes": {Image: &tracer.Image{Size: 1200, Format: tracer.FormatELF, Bits: 64, Type: 1, Machine: 62, Signed: true, SignatureSize: 500}},
		"xz, 300 bytes":               {Image: &tracer.Image{Size: 300, Format: tracer.FormatXz}},
		"kernel_read_file -1 (EPERM)": {Denial: &tracer.Denial{Door: tracer.ReadFile, Errno: unix.EPERM}},
		`"nosuch" not found`:          {Lookup: &tracer.Lookup{Name: "nosuch"}},
		`"llc" found: live, 2 references, needed by stp, bridge and more`: {Lookup: &tracer.Lookup{
			Name: "llc", Found: true, State: tracer.StateLive, Refs: &refs, Holders: []string{"stp", "bridge"}, HoldersCut: true}},
	} {
		if got := eventText(&e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func checkLines(t *testing.T, what, out string, width int) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("%s at %d: not UTF-8: %q", what, width, out)
	}
	for l := range strings.Lines(out) {
		l = strings.TrimSuffix(l, "\n")
		if n := cells.Count(l); n > width {
			t.Errorf("%s at %d: %d columns: %q", what, width, n, l)
		}
		if i := strings.IndexFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s at %d: unprintable: %q", what, width, l)
		}
		if strings.HasSuffix(l, " ") {
			t.Errorf("%s at %d: blanks at the end: %q", what, width, l)
		}
	}
}

// TestForgedLine: a message cannot look like a row of its own.
func TestForgedLine(t *testing.T) {
	a := sample.Loaded()
	a.Messages = []string{"x\n14:03:22  load     root     live"}
	out := NewActionTable(term.Theme{}, 80).Render(&a)
	for i, l := range strings.Split(strings.TrimSpace(out), "\n") {
		if i > 0 && !strings.HasPrefix(l, strings.Repeat(" ", belowColumns)) {
			t.Errorf("a line of a message begins a row: %q", l)
		}
	}
}

// TestJSONLine: one line, valid, the same value, and nothing that steers a terminal.
func TestJSONLine(t *testing.T) {
	for name, text := range hostile() {
		out, err := term.JSONLine(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		line, ended := strings.CutSuffix(string(out), "\n")
		if !ended || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q", name, out)
		}
		var back struct{ Text string }
		if err := json.Unmarshal(out, &back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && back.Text != want {
			t.Errorf("%s: came back as %q", name, back.Text)
		}
	}
	astral, err := term.JSONLine("\U000e0041")
	if err != nil || string(astral) != `"\udb40\udc41"`+"\n" {
		t.Errorf("beyond the first plane: %s, %v", astral, err)
	}
}

func refusedLoad() record.Record {
	a := sample.Loaded()
	code := int64(-19)
	a.Module, a.Outcome, a.Errno, a.ErrnoName, a.InitResult = "refuse", tracer.Failed, unix.ENODEV, "ENODEV", &code
	a.File = &tracer.File{Path: "/usr/lib/modules/6.12.117+deb13-cloud-amd64/kernel/drivers/net/ethernet/refuse.ko.xz"}
	a.Params, a.Messages = nil, []string{"refuse: refusing with 19"}
	a.Cause = &cause.Cause{Code: cause.InitRefused, Text: `its own init returned ENODEV: "refuse: refusing with 19"`}
	return a
}

// TestActionTable pins what users read, at the two widths that matter most.
func TestActionTable(t *testing.T) {
	good, bad := sample.Loaded(), refusedLoad()
	for width, want := range map[int]string{
		80: `TIME      ACTION   MODULE         OUTCOME            TOOK  BY
14:03:22  load     hello          live              3.1ms  alice: insmod[4121]
                   ├ …rc/hello/hello.ko  whom="big world"  out-of-tree, unsigned
                   └ kernel: "hello: Hello, big world!"
14:03:22  load     refuse         failed ENODEV     3.1ms  alice: insmod[4121]
                   ├ init-refused: its own init returned ENODEV: "refuse:
                   ├ refusing with 19"
                   ├ …l/drivers/net/ethernet/refuse.ko.xz  out-of-tree, unsigned
                   └ kernel: "refuse: refusing with 19"
`,
		200: `TIME      ACTION   MODULE                    OUTCOME            TOOK  BY                                 DETAILS
14:03:22  load     hello                     live              3.1ms  alice: insmod[4121]                /home/alice/src/hello/hello.ko  whom="big world"  out-of-tree, unsigned
                   └ kernel: "hello: Hello, big world!"
14:03:22  load     refuse                    failed ENODEV     3.1ms  alice: insmod[4121]                init-refused: its own init returned ENODEV: "refuse: refusing with 19"  …et/refuse.ko.xz  out-…
                   └ kernel: "refuse: refusing with 19"
`,
	} {
		table := NewActionTable(term.Theme{}, width)
		table.users = Users{4000000001: "alice"}
		got := table.Header() + table.Render(&good) + table.Render(&bad)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", width, diff)
		}
	}
}

// TestColour: colours on demand, and the text is the same without them.
func TestColour(t *testing.T) {
	a := refusedLoad()
	coloured := NewActionTable(term.Theme{Colour: true}, 80).Render(&a)
	if !strings.Contains(coloured, "\x1b[31mfailed ENODEV\x1b[0m") {
		t.Errorf("no red failure: %q", coloured)
	}
	bare := coloured
	for _, code := range []string{"0", "1", "2", "31", "32", "33"} {
		bare = strings.ReplaceAll(bare, "\x1b["+code+"m", "")
	}
	if want := NewActionTable(term.Theme{}, 80).Render(&a); bare != want {
		t.Errorf("without colours %q, want %q", bare, want)
	}
	if term.ThemeOf(new(strings.Builder)).Colour {
		t.Error("colours where there is no terminal")
	}
}

func TestManyMessages(t *testing.T) {
	a := sample.Loaded()
	a.Messages, a.MessagesDropped = nil, 7
	for range 30 {
		a.Messages = append(a.Messages, "two\nlines", "")
	}
	lines := MessageLines(&a, 10)
	if len(lines) != 11 || lines[10].String() != "… and 57 lines more (--json has them)" {
		t.Errorf("%d lines, last %q", len(lines), lines[len(lines)-1].String())
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ns", 999: "999ns", 850 * time.Microsecond: "850µs", 3149 * time.Microsecond: "3.1ms", 421 * time.Millisecond: "421ms",
		1500 * time.Millisecond: "1.5s", 123 * time.Second: "2m03s", -time.Second: "-1.0s", 25 * time.Hour: "1500m00s",
	} {
		if got := cells.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", int64(d), got, want)
		}
	}
}

func TestCutFront(t *testing.T) {
	for _, test := range []struct {
		s    string
		n    int
		want string
	}{
		{"/a/b.ko", 7, "/a/b.ko"}, {"/a/b.ko", 5, "…b.ko"}, {"/a/b.ko", 1, "…"}, {"/a/b.ko", 0, ""}, {"/a/b.ko", -3, ""},
		{"界界界", 4, "…界"}, {"", 0, ""},
	} {
		if got := cells.CutFront(test.s, test.n); got != test.want {
			t.Errorf("cutFront(%q, %d) = %q, want %q", test.s, test.n, got, test.want)
		}
	}
}

// TestShortLine: what was wrong stands behind a name, however long that is.
func TestShortLine(t *testing.T) {
	text := cells.ShortLine("write to " + strings.Repeat("long/", 1000) + ": file name too long")
	if !strings.HasPrefix(text, "write to long/") || !strings.HasSuffix(text, ": file name too long") || len([]rune(text)) != 401 {
		t.Errorf("%q", text)
	}
}

// TestRenderUnexplained: what nobody looked into, and what was shortened, says so: a failure
// without a cause is not left without a word.
func TestRenderUnexplained(t *testing.T) {
	a := record.Record{
		Action: tracer.Action{Kind: tracer.Load, Module: "hello", Outcome: tracer.Failed},
		Cut:    true, NotLookedUp: "too many attempts waited",
	}
	for _, width := range []int{80, 200} {
		text := NewActionTable(term.Theme{}, width).Render(&a)
		for _, want := range []string{"not looked into: too many attempts waited", "the record was too long and was shortened"} {
			if !strings.Contains(text, want) {
				t.Errorf("at %d columns there is no %q in\n%s", width, want, text)
			}
		}
	}
}
