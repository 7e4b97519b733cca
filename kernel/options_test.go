package kernel

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kmodtrace/kmodtrace/kmod"
)

func TestOptions(t *testing.T) {
	all := running(files{
		"etc/modprobe.d/b.conf":     "# a comment\noptions x-y a=1 b=\\\n2\noptions x_y\noptions other a=1\noptions xy a=1\n",
		"lib/modprobe.d/b.conf":     "options x_y a=3\n",
		"etc/modprobe.d/c.conf":     "options x_y\ta=\"4 5\" c\n",
		"etc/modprobe.d/d.conf.old": "options x_y a=6\n",
		"etc/modprobe.d/e.conf":     "options net_pf_1 c=9\noptions net-pf-2 c=10\n",
		"etc/modprobe.d/.e.conf":    "options x_y a=7\n",
		"etc/modprobe.d/f.conf":     "options\noptions \noptions named d=1\noptions x_y \xff=\"\noptionsx_y a=1\n",
		"proc/cmdline":              "quiet x-y.b=8 other.a=1",
	})
	root := all.write(t)
	k, err := Open(&Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range k.Options("x-y", "named", "net-pf-1") {
		text := strings.TrimPrefix(line.Place(), root+"/")
		for _, o := range line.Params {
			text += " [" + o.Text + "]"
			if o.Later != "" {
				text += " < " + strings.TrimPrefix(o.Later, root+"/")
			}
		}
		if line.Ignored != "" {
			text += " ignored: " + strings.ReplaceAll(line.Ignored, root+"/", "")
		}
		got = append(got, text)
	}
	want := []string{
		"etc/modprobe.d/b.conf:2 [a=1] < etc/modprobe.d/c.conf:1 [b=2] < proc/cmdline:1",
		"etc/modprobe.d/b.conf:4 ignored: it has no parameter",
		"etc/modprobe.d/c.conf:1 [a=4 5] [c] < etc/modprobe.d/e.conf:1",
		"etc/modprobe.d/e.conf:1 [c=9]",
		"etc/modprobe.d/f.conf:3 [d=1] ignored: modprobe goes by the name of the file, which is x_y",
		"etc/modprobe.d/f.conf:4 [\xff=\"]",
		"lib/modprobe.d/b.conf:1 [a=3] ignored: etc/modprobe.d/b.conf hides its file",
		"etc/modprobe.d/d.conf.old:1 [a=6] ignored: modprobe reads only files that end in .conf",
		"proc/cmdline:1 [b=8]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if blocked := k.Blocked("x-y"); len(blocked) != 0 {
		t.Errorf("options are taken for blocks: %+v", blocked)
	}
}

func TestOptionsLoaded(t *testing.T) {
	all := running(files{
		"etc/modprobe.d/a.conf":                       "options net-pf-7 n=1\noptions net-pf-77 n=1\noptions hello n=0x10 m=1 flag=y list=1,0x2 text=a own=5 hidden=1\n",
		"sys/module/hello/initstate":                  "live\n",
		"sys/module/hello/parameters/n":               "16\n",
		"sys/module/hello/parameters/m":               "2\n",
		"sys/module/hello/parameters/flag":            "Y\n",
		"sys/module/hello/parameters/list":            "1,2\n",
		"sys/module/hello/parameters/text":            "b\n",
		"sys/module/hello/parameters/own":             "five\n",
		"sys/module/hello/parameters/of_another_line": "1\n",
	})
	k, err := Open(&Options{Root: all.write(t)})
	if err != nil {
		t.Fatal(err)
	}
	f := &kmod.File{Path: filepath.Join("/x", "hello.ko"), Name: "hello", Parameters: []kmod.Parameter{
		{Name: "n", Type: "int"}, {Name: "m", Type: "uint"}, {Name: "flag", Type: "bool"}, {Name: "list", Type: "array of int"},
		{Name: "text", Type: "charp"}, {Name: "own"}, {Name: "hidden", Type: "int"},
	}, Fields: []kmod.Field{{Key: "alias", Value: "net-pf-?"}}}
	want := map[string]string{"n": "taken", "m": "another", "flag": "taken", "list": "taken", "text": "another", "own": "not known", "hidden": "not shown"}
	got := make(map[string]string)
	lines := k.FileOptions(f)
	if len(lines) != 2 || lines[0].Ignored != "it is only passed where the module is asked for as net-pf-7" {
		t.Fatalf("%+v", lines)
	}
	for _, line := range lines[1:] {
		for _, o := range line.Params {
			switch {
			case o.Loaded == nil:
				got[o.Name] = "not shown"
			case o.Taken == nil:
				got[o.Name] = "not known"
			case *o.Taken:
				got[o.Name] = "taken"
			default:
				got[o.Name] = "another"
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
