package follow

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestWishOf: only what is known to ask this kernel for a load or unload is judged.
func TestWishOf(t *testing.T) {
	for line, want := range map[string]string{
		"rmmod a b":                   "unload a b",
		"/sbin/rmmod -f a":            "", // which asks the kernel, whatever it sees
		"rmmod -v -- -a":              "unload -a",
		"rmmod":                       "",
		"rmmod --help":                "",
		"modprobe a b=1 c":            "load a | b=1 c",
		"modprobe -q -b a":            "load a",
		"modprobe -a a b":             "load a b",
		"modprobe -r a b":             "unload a b",
		"modprobe --remove a":         "unload a",
		"modprobe a --":               "load a",
		"modprobe -":                  "load -",
		"modprobe -n a":               "",
		"modprobe -D a":               "",
		"modprobe --show-depends a":   "",
		"modprobe -d /root a":         "",
		"modprobe -S 6.1 a":           "",
		"modprobe -C /etc/x a":        "",
		"modprobe -R a":               "",
		"modprobe -qr a":              "unload a", // several in one word
		"modprobe -rn a":              "",
		"modprobe -d/root a":          "",
		"modprobe --ignore-install a": "",
		"insmod /x/a.ko whom=Bob":     "load /x/a.ko | whom=Bob",
		"insmod -s a.ko":              "load a.ko",
		"insmod":                      "",
		"modprobe \x1b[2J\xff":        "load \x1b[2J\xff",
		"modprobe  a":                 "load  | a", // an empty word is a word
	} {
		got := ""
		if w, ok := wishOf(strings.Split(line, " ")); ok {
			got = map[bool]string{true: "unload ", false: "load "}[w.unload] + strings.Join(w.targets, " ")
			if len(w.params) > 0 {
				got += " | " + strings.Join(w.params, " ")
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if _, ok := wishOf(nil); ok {
		t.Error("no arguments ask for something")
	}
}

// TestToolRunDamaged: lengths that cannot be give no arguments and no more ancestors than there is room for.
func TestToolRunDamaged(t *testing.T) {
	raw := make([]byte, unsafe.Sizeof(toolsToolRun{}))
	w := (*toolsToolRun)(unsafe.Pointer(&raw[0]))
	copy(w.Comm[:], "rmmod\xff")
	copy(w.Args[:], "rmmod\x00a b\x00")
	for length, argv := range map[uint32][]string{0: nil, 10: {"rmmod", "a b"}, uint32(len(w.Args)) + 1: nil, 1 << 31: nil} {
		w.Length, w.Ancestors = length, 1<<31
		r, err := newToolRun(raw)
		if err != nil || !slices.Equal(r.argv, argv) || len(r.ancestors) != len(w.Ancestor) || r.comm != `rmmod\xff` {
			t.Errorf("length %d: %+v, %v", length, r, err)
		}
	}
	if _, err := newToolRun(raw[:100]); err == nil {
		t.Error("a part of a record is one")
	}
}

// TestActed: what a tool, or a program that it ran, asked the kernel for was not refused by it. Another
// process of the same number has asked for nothing.
func TestActed(t *testing.T) {
	d := make(acted)
	d.see(&tracer.Action{Kind: tracer.Unload, Module: "a-b", Thread: tracer.Thread{PID: 7, Start: 1}})
	d.see(&tracer.Action{Kind: tracer.Load, Module: "x", Thread: tracer.Thread{PID: 9, Start: 3}, Actor: &tracer.Actor{Ancestors: []tracer.Process{{PID: 8, Start: 2}}}})
	d.see(&tracer.Action{Kind: tracer.Autoload, Module: "y", Thread: tracer.Thread{PID: 5, Start: 5}})
	for _, test := range []struct {
		refusal refusal
		want    bool
	}{
		{refusal{run: toolRun{pid: 7, start: 1}, unload: true, target: "a_b"}, true},
		{refusal{run: toolRun{pid: 7, start: 1}, unload: true, target: "c"}, false},
		{refusal{run: toolRun{pid: 7, start: 2}, unload: true, target: "a_b"}, false},
		{refusal{run: toolRun{pid: 8, start: 2}, target: "alias"}, true},
		{refusal{run: toolRun{pid: 8, start: 2}, unload: true, target: "x"}, false},
		{refusal{run: toolRun{pid: 5, start: 5}, target: "y"}, false},
	} {
		if got := d.asked(&test.refusal); got != test.want {
			t.Errorf("%+v: %t", test.refusal, got)
		}
	}
}
