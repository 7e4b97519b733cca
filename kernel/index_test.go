package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// goodIndex begins as depmod's do, and its root is inside.
const goodIndex = "\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\x00\x00\x0c" + "\x00\x00\x00\x00"

func TestBrokenIndexes(t *testing.T) {
	for name, c := range map[string]struct {
		index string // "-" for none
		why   string
	}{
		"good":                        {goodIndex, ""},
		"none":                        {"-", "is not there"},
		"empty":                       {"", "is empty"},
		"header cut":                  {goodIndex[:11], "is cut short"},
		"root cut off":                {goodIndex[:12], "is cut short"},
		"text":                        {"kernel/a.ko: kernel/b.ko\n", "is not an index"},
		"zeros, as after a power cut": {strings.Repeat("\x00", 4096), "is not an index"},
	} {
		t.Run(name, func(t *testing.T) {
			all := running(files{treeOf + "modules.dep": "kernel/a.ko:\n"})
			if c.index != "-" {
				all[treeOf+"modules.dep.bin"] = c.index
			}
			k, err := Open(&Options{Root: all.write(t)})
			if err != nil {
				t.Fatal(err)
			}
			broken := k.BrokenIndexes()
			switch {
			case c.why == "" && len(broken) > 0:
				t.Errorf("%+v", broken)
			case c.why != "" && (len(broken) != 1 || broken[0].Why != c.why || !strings.HasSuffix(broken[0].Index, treeOf+"modules.dep.bin")):
				t.Errorf("%+v, want %q", broken, c.why)
			}
		})
	}
}

// TestIndexIsOdd: what is no file holds nobody up.
func TestIndexIsOdd(t *testing.T) {
	root := running(files{treeOf + "modules.dep": "", treeOf + "modules.alias": "", treeOf + "modules.symbols": ""}).write(t)
	dir := filepath.Join(root, treeOf)
	if err := unix.Mkfifo(filepath.Join(dir, "modules.dep.bin"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "modules.alias.bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("modules.symbols.bin", filepath.Join(dir, "modules.symbols.bin")); err != nil {
		t.Fatal(err)
	}
	k, err := Open(&Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	broken := k.BrokenIndexes()
	if len(broken) != 3 || broken[0].Why != "is not a regular file" || broken[1].Why != "is not a regular file" || !strings.HasPrefix(broken[2].Why, "cannot be read: ") {
		t.Errorf("%+v", broken)
	}
}

func TestLists(t *testing.T) {
	k, err := Open(&Options{Root: running(files{
		treeOf + "modules.dep":   "kernel/a-b.ko.xz: kernel/c.ko\nnonsense\n",
		treeOf + "modules.alias": "# made by depmod\nalias pci:v0000[1-3]d* a_b\nalias net-pf-7 c\nalias short\n",
	}).write(t)})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a_b": "modules.dep", "a-b": "modules.dep", "c": "", "net-pf-7": "modules.alias", "net_pf_7": "modules.alias", "net-pf-77": "",
		"pci:v00002d00": "modules.alias", "pci:v00005d00": "", "short": "", "": "",
	} {
		got, err := k.Lists(name)
		if err != nil || filepath.Base(got) != want && (got != "" || want != "") {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
	}
}
