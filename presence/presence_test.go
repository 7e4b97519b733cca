package presence

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// machine is a directory with proc and sys of a kernel that has modules.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T, release string) *machine {
	m := &machine{t, t.TempDir()}
	m.write("proc/sys/kernel/osrelease", release+"\n")
	m.write("proc/sys/kernel/tainted", "0\n")
	for _, dir := range []string{"sys/module/builtin/parameters", "sys/kernel/btf"} {
		m.dir(dir)
	}
	m.write("sys/kernel/btf/vmlinux", "")
	m.write("proc/modules", "")
	m.write("proc/kallsyms", "ffffffff81000000 T _text\nffffffffc0000000 t bpf_prog_1\t[bpf]\nffffffffc0000001 t x\t[__builtin__ftrace]\n")
	m.write("sys/kernel/tracing/available_filter_functions", "do_one_initcall\n")
	m.write("proc/vmallocinfo", "0x0-0x1 8192 bpf_jit_alloc_exec+0x1/0x2 pages=1 vmalloc\n")
	return m
}

func (m *machine) dir(name string) {
	if err := os.MkdirAll(filepath.Join(m.root, name), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.dir(filepath.Dir(name))
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) add(name, text string) {
	before, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(name, string(before)+text)
}

func (m *machine) remove(name string) {
	if err := os.RemoveAll(filepath.Join(m.root, name)); err != nil {
		m.t.Fatal(err)
	}
}

// load has every source show a module.
func (m *machine) load(name, state string, but ...Source) {
	for _, s := range []struct {
		Source
		show func()
	}{
		{List, func() { m.add("proc/modules", name+" 20480 0 - "+state+" 0xffffffffc0000000\n") }},
		{Sysfs, func() { m.write("sys/module/"+name+"/initstate", "live\n") }},
		{Symbols, func() { m.add("proc/kallsyms", "ffffffffc0000000 t f\t["+name+"]\n") }},
		{Functions, func() { m.add("sys/kernel/tracing/available_filter_functions", "f ["+name+"]\n") }},
		{Types, func() { m.write("sys/kernel/btf/"+name, "") }},
		{Memory, func() {
			m.add("proc/vmallocinfo", "0x0-0x1 16384 load_module+0x9e0/0x2030 pages=3 vmalloc\n0x0-0x1 16384 load_module+0x9e0/0x2030 pages=3 vmalloc\n")
		}},
	} {
		show := true
		for _, b := range but {
			show = show && b != s.Source
		}
		if show {
			s.show()
		}
	}
}

func (m *machine) ask(sources ...Source) *Look {
	m.t.Helper()
	l, err := Ask(m.root, sources...)
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

// TestHidden: a module that some sources show and the others must show is found, with who says what; one that is on its
// way is not, nor one that some source has no reason to show.
func TestHidden(t *testing.T) {
	for name, test := range map[string]struct {
		state string
		but   []Source
		want  string
	}{
		"fine":              {"Live", nil, ""},
		"without functions": {"Live", []Source{Functions, Types, Symbols}, ""},
		"off the list":      {"Live", []Source{List, Symbols}, "m shown by [/sys/module /sys/kernel/btf available_filter_functions], not by [/proc/modules /proc/kallsyms]"},
		"out of sysfs":      {"Live", []Source{Sysfs}, "m shown by [/proc/modules /sys/kernel/btf available_filter_functions /proc/kallsyms], not by [/sys/module]"},
		"both":              {"Live", []Source{List, Sysfs, Symbols}, "m shown by [/sys/kernel/btf available_filter_functions], not by [/proc/modules /sys/module /proc/kallsyms]"},
		"only types":        {"Live", []Source{List, Sysfs, Symbols, Functions}, "m shown by [/sys/kernel/btf], not by [/proc/modules /sys/module /proc/kallsyms]"},
		"only functions":    {"Live", []Source{List, Sysfs, Symbols, Types}, "m shown by [available_filter_functions], not by [/proc/modules /sys/module /proc/kallsyms]"},
		"a filtered list":   {"Live", []Source{List}, "m shown by [/sys/module /sys/kernel/btf available_filter_functions /proc/kallsyms], not by [/proc/modules]"},
		"only memory":       {"Live", []Source{List, Sysfs, Symbols, Types, Functions}, ""},
		"being loaded":      {"Loading", []Source{Sysfs, Types, Functions, Symbols}, ""},
		"being unloaded":    {"Unloading", []Source{Sysfs, Types}, ""},
		"nothing shows it":  {"Live", Sources(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "6.12.1-amd64")
			m.load("other", "Live", Memory)
			m.add("proc/vmallocinfo", "0x0-0x1 24576 load_module+0x9e0/0x2030 pages=5 vmalloc\n")
			m.load("m", test.state, test.but...)
			l := m.ask()
			var got []string
			for _, h := range l.Hidden() {
				got = append(got, fmt.Sprintf("%s shown by %v, not by %v", h.Module, h.Shown, h.NotShown))
			}
			if strings.Join(got, "; ") != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if runtime.GOARCH != "amd64" || slices.Contains(test.but, Memory) {
				return
			}
			want := uint64(4096) // of two parts of 12,288 bytes in place of 20,480
			if slices.Contains(test.but, List) {
				want = 24576
			}
			if l.Unlisted() != want {
				t.Errorf("%d bytes are not listed, want %d", l.Unlisted(), want)
			}
		})
	}
}

// TestAgreed: what only one of two looks has is not said.
func TestAgreed(t *testing.T) {
	m := newMachine(t, "6.1.0-1")
	m.load("m", "Live", List)
	first := m.ask()
	m.remove("sys/module/m")
	m.remove("sys/kernel/btf/m")
	m.write("proc/kallsyms", "")
	m.write("sys/kernel/tracing/available_filter_functions", "")
	m.write("proc/vmallocinfo", "")
	if hidden, bytes := Agreed(first, m.ask()); len(hidden) > 0 || bytes > 0 {
		t.Errorf("%v, %d bytes", hidden, bytes)
	}
	if hidden, _ := Agreed(first, first); len(hidden) != 1 {
		t.Errorf("%v", hidden)
	}
	seen := m.ask(Sysfs)
	seen.Add(History, map[string]bool{"gone": true})
	hidden, _ := Agreed(seen, seen)
	want := []Hidden{{"gone", []Source{History}, []Source{List, Sysfs}}}
	if !reflect.DeepEqual(hidden, want) {
		t.Errorf("%v", hidden)
	}
}

// TestSourcesThatFail: a source that cannot be asked says why, and the others are asked all the same; without the list
// there is no look.
func TestSourcesThatFail(t *testing.T) {
	m := newMachine(t, "7.2.0")
	m.load("m", "Live")
	for _, name := range []string{"sys/kernel/btf", "sys/kernel/tracing", "proc/kallsyms"} {
		m.remove(name)
	}
	l := m.ask()
	if got := l.Asked(); !reflect.DeepEqual(got, []Source{List, Sysfs}) || l.Count(List) != 1 || len(l.Hidden()) > 0 {
		t.Errorf("%v, %v", got, l.Hidden())
	}
	for _, s := range []Source{Types, Memory, Functions, Symbols} {
		if l.Failure(s) == nil {
			t.Errorf("%s: no error", s)
		}
	}
	m.write("proc/vmallocinfo", "0x0-0x1 x load_module+0x9e0/0x2030\n")
	m.write("proc/sys/kernel/osrelease", "5.10.0\n")
	m.write("proc/kallsyms", strings.Repeat("a", 200<<10)+"[m]\n[]\n[\n]\n\x00[m\n")
	m.write("sys/kernel/tracing/available_filter_functions", "f [m]") // cut off
	l = m.ask()
	if (l.Failure(Memory) == nil) != (runtime.GOARCH != "amd64") && runtime.GOARCH == "amd64" || l.Unlisted() != 0 {
		t.Errorf("%v", l.Failure(Memory))
	}
	if l.Count(Functions) != 1 || len(l.Hidden()) > 0 {
		t.Errorf("%d, %v", l.Count(Functions), l.Hidden())
	}
	m.write("proc/modules", "nonsense")
	if _, err := Ask(m.root); err == nil {
		t.Error("a look without a list")
	}
	m.remove("proc/modules")
	if _, err := Ask(m.root); err == nil {
		t.Error("a look without a list")
	}
}

// TestLimits: what a kernel cannot take back is said when it did.
func TestLimits(t *testing.T) {
	m := newMachine(t, "6.12.1")
	m.write("proc/sys/kernel/tainted", "12288\n")
	m.write("proc/sys/kernel/modules_disabled", "1\n")
	m.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
	before, err := ReadLimits(m.root)
	if err != nil {
		t.Fatal(err)
	}
	if eased := before.Eased(before); len(eased) > 0 {
		t.Errorf("%q", eased)
	}
	m.write("proc/sys/kernel/tainted", "8193\n")
	m.write("proc/sys/kernel/modules_disabled", "0\n")
	m.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
	now, err := ReadLimits(m.root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"the kernel's taint out-of-tree is gone", "kernel.modules_disabled was set, and is not any more", "lockdown was integrity, and is none"}
	if eased := before.Eased(now); !reflect.DeepEqual(eased, want) {
		t.Errorf("%q", eased)
	}
	if both := before.Both(now); both.Tainted != 12289 || !both.Disabled || both.Lockdown != "integrity" || len(both.Eased(before)) != 1 {
		t.Errorf("%+v", both)
	}
	m.remove("sys/kernel/security/lockdown")
	if now, err = ReadLimits(m.root); err != nil || now.Lockdown != "" || before.Eased(now)[2] != "lockdown was integrity, and is gone" {
		t.Errorf("%+v, %v", now, err)
	}
	m.remove("proc/sys/kernel/tainted")
	if _, err := ReadLimits(m.root); err == nil {
		t.Error("no error")
	}
}
