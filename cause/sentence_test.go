package cause

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestSentence(t *testing.T) {
	names := map[string]string{
		"a": "one", "b": "[two]", "c": "{a}", "empty": "",
		"list": "x, y", "single": "1 reference", "several": "12 references",
	}
	for template, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		"{a} and {a}":              "one and one",
		"{none} is":                "(unknown) is",
		"x[: {none}]":              "x",
		"x[: {a}]":                 "x: one",
		"x[: {a}, {none}]":         "x",
		"x[ {a}][ {none}][ {b}] y": "x one [two] y",
		"{b} [{b}] {c} [{c}]":      "[two] [two] {a} {a}",
		"\"{empty}\" [({empty})]":  "\"\" ()",
		"  a\n\t b ":               "a b",
		"{ a } {a-b} {}":           "{ a } {a-b} {}",
		"][":                       "][",
		"{a} {a:use} it":           "one uses it",
		"{list} {list:use} it":     "x, y use it",
		"{single} {single:hold}":   "1 reference holds",
		"{several} {several:hold}": "12 references hold",
		"{none} {none:hold}":       "(unknown) holds",
	} {
		if got := sentence(template, names); got != want {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
}

// hostile are texts that a module, its file or its user may have anywhere.
var hostile = []string{
	"{module}", "[y]", "[{errno}]", "{x}", "]", "{", "{{module}}", "[[", "%s%n%!", "\x1b[31mred\x1b[0m", "a\xffb", "“ ”", strings.Repeat("[{module}", 50),
}

// TestHostileNames: a name is printed unchanged, and is never read as a template.
func TestHostileNames(t *testing.T) {
	k := ordinary().open(t)
	for _, text := range hostile {
		path := file(t, "hello.ko", hello().Bytes())
		for name, a := range map[string]tracer.Action{
			"module":    {Kind: tracer.Unload, Module: text, Errno: unix.ENOENT},
			"message":   {Kind: tracer.Load, Module: "hello", Stage: tracer.StageInit, Errno: unix.ENODEV, InitResult: result(-19), Messages: said("hello: " + text)},
			"value":     {Kind: tracer.Load, Module: "hello", Stage: tracer.StageParams, Errno: unix.EINVAL, Messages: said("hello: `" + text + "' invalid for parameter `times'")},
			"parameter": {Kind: tracer.Load, Module: "hello", Stage: tracer.StageParams, Errno: unix.EINVAL, Messages: said("hello: `x' invalid for parameter `" + text + "'")},
			"file":      {Kind: tracer.Load, Module: "hello", Errno: unix.ETXTBSY, File: &tracer.File{Path: "/" + text}},
			"comm":      {Kind: tracer.Load, Module: "hello", Errno: unix.EPERM, Call: &tracer.Enter{}, Thread: tracer.Thread{Comm: text}},
			"request":   {Kind: tracer.Autoload, Module: text, Errno: unix.EACCES, Request: &tracer.Request{Name: text, Denied: true}},
			"owner":     {Kind: tracer.Load, Module: "hello", Stage: tracer.StageFinalize, Errno: unix.ENOEXEC, File: &tracer.File{Path: path}, Messages: said("hello: exports duplicate symbol x (owned by " + text + ")")},
		} {
			a.Outcome, a.ErrnoName = tracer.Failed, tracer.ErrnoName(a.Errno)
			c := NewExplainer(k, nil).Explain(t.Context(), a).Cause
			if c == nil || !strings.Contains(c.Text, strings.Join(strings.Fields(text), " ")) {
				t.Errorf("%s %q: %v", name, text, c)
			}
		}
	}
}

// TestHostileFiles: the same of what a module's file says.
func TestHostileFiles(t *testing.T) {
	k := ordinary().open(t)
	for _, text := range hostile {
		for name, m := range map[string]koimage.Module{
			"name":     changed(func(m *koimage.Module) { m.Info[1] = "name=" + text; m.Info[2] = "vermagic=other " }),
			"licence":  licensed(text, koimage.Symbol{Name: "gpl_only", CRC: 0x12}),
			"vermagic": changed(func(m *koimage.Module) { m.Info[2] = "vermagic=1 " + text }),
			"symbol":   wanting(koimage.Symbol{Name: text}),
		} {
			v, err := Check(t.Context(), file(t, "hello.ko", m.Bytes()), k, nil)
			if err != nil || v.Cause == nil || !strings.Contains(v.Cause.Text, strings.Join(strings.Fields(text), " ")) {
				t.Errorf("%s %q: %+v, %v", name, text, v.Cause, err)
			}
		}
	}
}

// FuzzSentence: no template and no name makes it panic, hang or interpret a name.
func FuzzSentence(f *testing.F) {
	f.Add("{module} wants {symbol}[; {providers} would]", "hello")
	for _, text := range hostile {
		f.Add("x[: {module}] {none}", text)
		f.Add(text, text)
	}
	for _, r := range rules() {
		f.Add(r.say, "[{module}]")
	}
	f.Fuzz(func(t *testing.T, template, name string) {
		got := sentence(template, map[string]string{"module": name})
		if utf8.ValidString(template) && utf8.ValidString(name) && !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		// A name is put in as it is: another of the same kind gives the same sentence.
		const mark = "\U000f0000"
		if strings.Contains(template, mark) || name == "" || strings.ContainsFunc(name, func(c rune) bool {
			return strings.ContainsRune(" \t\n\v\f\r\u0085\u00a0\u2028\u2029", c) || c >= 0x1680
		}) {
			return
		}
		marked := sentence(template, map[string]string{"module": mark})
		if want := strings.ReplaceAll(marked, mark, name); got != want {
			t.Errorf("%q with %q: %q, want %q", template, name, got, want)
		}
	})
}
