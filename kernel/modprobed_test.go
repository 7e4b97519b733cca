package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseModprobeConfig(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []ConfigLine
	}{
		"blacklist":          {"blacklist a-b\n", []ConfigLine{{Line: 1, Text: "blacklist a-b", Blacklist: true, Blocking: true}}},
		"no final newline":   {"\n\tblacklist\tx # why", []ConfigLine{{Line: 2, Text: "blacklist\tx # why", Blacklist: true, Blocking: true}}},
		"carriage returns":   {"blacklist x\r\n", []ConfigLine{{Line: 1, Text: "blacklist x\r", Blacklist: true, Blocking: true}}},
		"install":            {"install x /bin/false\n", []ConfigLine{{Line: 1, Text: "install x /bin/false", Install: true, Blocking: true}}},
		"install and load":   {"install x /sbin/modprobe --ignore-install x && true\n", []ConfigLine{{Line: 1, Text: "install x /sbin/modprobe --ignore-install x && true", Install: true}}},
		"install true, load": {"install x /bin/true; modprobe -i x\n", []ConfigLine{{Line: 1, Text: "install x /bin/true; modprobe -i x", Install: true}}},
		"exit":               {"install x exit 0\ninstall y :\n", []ConfigLine{{Line: 1, Text: "install x exit 0", Install: true, Blocking: true}, {Line: 2, Text: "install y :", Install: true, Blocking: true}}},
		"joined":             {"# c\ninstall x \\\n  /bin/false\nblacklist y\n", []ConfigLine{{Line: 2, Text: "install x   /bin/false", Install: true, Blocking: true}, {Line: 4, Text: "blacklist y", Blacklist: true, Blocking: true}}},
		"joined comment":     {"# c \\\nblacklist x\nblacklist y", []ConfigLine{{Line: 3, Text: "blacklist y", Blacklist: true, Blocking: true}}},
		"off":                {"alias net-pf-10 off\nalias a b\n", []ConfigLine{{Line: 1, Text: "alias net-pf-10 off", Blocking: true}, {Line: 2, Text: "alias a b", Alias: true}}},
		"others":             {"options x a=1\nsoftdep x pre: y\nremove x /bin/false\n \n\\", []ConfigLine{{Line: 1, Text: "options x a=1", Options: true}, {Line: 5, Text: `\`, Ignored: "modprobe has no command of that name, and ignores the line"}}},
		"binary":             {"\x00\xff\xfe\nblacklist x\n", []ConfigLine{{Line: 1, Text: "\x00\xff\xfe", Ignored: "modprobe has no command of that name, and ignores the line"}, {Line: 2, Text: "blacklist x", Blacklist: true, Blocking: true}}},
	} {
		if diff := cmp.Diff(c.want, parseModprobeConfig(c.text)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestBlocked: which files count, and which lines are about a name.
func TestBlocked(t *testing.T) {
	all := running(files{
		"etc/modprobe.d/b.conf":           "blacklist x-y\n",
		"lib/modprobe.d/b.conf":           "install x_y /bin/true\n",
		"run/modprobe.d/a.conf":           "install x?y /bin/false\n",
		"usr/lib/modprobe.d/c.conf":       "blacklist other\nblacklist x_y\n",
		"etc/modprobe.d/note.txt":         "blacklist x_y\n",
		"etc/modprobe.d/.hidden.conf":     "blacklist x_y\n",
		"etc/modprobe.d/dir.conf/x.conf":  "blacklist x_y\n",
		"usr/local/lib/modprobe.d/d.conf": strings.Repeat("#", maxConfig) + "\nblacklist x_y\n",
		"etc/modprobe.d/e.conf":           "blacklist x*\n",    // a blacklist has no wildcards
		"etc/modprobe.d/f.conf":           "blacklist x_y\r\n", // another name to modprobe
		"proc/cmdline":                    `quiet modprobe.blacklist=a,x-y "modprobe.blacklist=z" x_y.p=1 -- modprobe.blacklist=x_y`,
	})
	root := all.write(t)
	if err := os.Symlink("/dev/null", filepath.Join(root, "etc/modprobe.d/empty.conf")); err != nil {
		t.Fatal(err)
	}
	k, err := Open(&Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	want := []ConfigLine{
		{File: at("run/modprobe.d/a.conf"), Line: 1, Text: "install x?y /bin/false", Install: true, Blocking: true},
		{File: at("etc/modprobe.d/b.conf"), Line: 1, Text: "blacklist x-y", Blacklist: true, Blocking: true, Beats: []string{at("lib/modprobe.d/b.conf") + ":1: install x_y /bin/true"}},
		{File: at("usr/lib/modprobe.d/c.conf"), Line: 2, Text: "blacklist x_y", Blacklist: true, Blocking: true},
		{File: at("proc/cmdline"), Line: 1, Text: "modprobe.blacklist=a,x-y", Blacklist: true, Blocking: true},
	}
	if diff := cmp.Diff(want, k.Blocked("x-y")); diff != "" {
		t.Error(diff)
	}
	if got := k.Blocked("z"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if got := k.Blocked("nothing"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestFirstInstallCounts: as modprobe does it, of two install lines for a name the first is run.
func TestFirstInstallCounts(t *testing.T) {
	k := running(files{
		"etc/modprobe.d/a.conf": "install x /sbin/modprobe --ignore-install x\ninstall y /bin/true\n",
		"etc/modprobe.d/b.conf": "install x /bin/false\nblacklist x\n",
	}).open(t)
	file := func(name string) string { return k.path("etc/modprobe.d/" + name) }
	want := []ConfigLine{
		{File: file("a.conf"), Line: 1, Text: "install x /sbin/modprobe --ignore-install x", Install: true, Beats: []string{file("b.conf") + ":1: install x /bin/false"}},
		{File: file("b.conf"), Line: 2, Text: "blacklist x", Blacklist: true, Blocking: true},
	}
	if diff := cmp.Diff(want, k.Blocked("x")); diff != "" {
		t.Error(diff)
	}
}

// TestCmdlineBlacklist: the kernel's own list is compared as it stands, and the last counts.
func TestCmdlineBlacklist(t *testing.T) {
	for _, c := range []struct {
		cmdline, parameter, name string
		want                     bool
	}{
		{"module_blacklist=a,b_c", "", "b-c", true},
		{"module_blacklist=a,b-c", "", "b-c", false},
		{"module-blacklist=a", "", "a", true},
		{"module_blacklist=a module_blacklist=b", "", "a", false},
		{`"module_blacklist=a,b" quiet`, "", "b", true},
		{"module_blacklist=a", "b\n", "b", true},
		{"-- module_blacklist=a", "", "a", false},
		{"", "", "a", false},
	} {
		f := running(files{"proc/cmdline": c.cmdline + "\n"})
		if c.parameter != "" {
			f["sys/module/kernel/parameters/module_blacklist"] = c.parameter
		}
		if got := f.open(t).CmdlineBlacklist(c.name); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// FuzzModprobeConfig: lines are counted right whatever stands in them.
func FuzzModprobeConfig(f *testing.F) {
	f.Add("blacklist a\n\\\ninstall b \\\n /bin/false\n")
	f.Add("install x /bin/true;\n\\\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		total := strings.Count(text, "\n") + 1
		last := 0
		for _, line := range parseModprobeConfig(text) {
			if line.Line <= last || line.Line > total {
				t.Fatalf("line %d after %d, of %d", line.Line, last, total)
			}
			last = line.Line
			l := newFileLine(line)
			if l.isAbout("x"); line.Options {
				_, params := line.cutOptions()
				optionsIn(params)
			}
		}
	})
}
