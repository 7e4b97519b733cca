package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
)

func pointer[T any](v T) *T { return &v }

// fakeKernel has a symbol of each kind, and a module with two.
func fakeKernel() *fakeCore {
	c := &fakeCore{}
	c.imageTables(
		[]fakeExport{{name: "_printk", crc: 0x11}, {name: "spaced", namespace: "SPACE", crc: 0x12}},
		[]fakeExport{{name: "register_kprobe", crc: 0x21}})
	c.link(c.module("mod_a", []fakeExport{{name: "a_plain", crc: 0x31}}, []fakeExport{{name: "a_gpl", namespace: "A", crc: 0x32}}), c.module("mod_b", nil, nil))
	c.symbol("vermagic", c.text(release+" SMP mod_unload modversions "))
	return c
}

func TestLiveSymbols(t *testing.T) {
	k := fakeKernel().files(t).open(t)
	for _, want := range []Symbol{
		{Name: "_printk", GPL: pointer(false), CRC: pointer(kmod.CRC(0x11))},
		{Name: "spaced", GPL: pointer(false), Namespace: "SPACE", CRC: pointer(kmod.CRC(0x12))},
		{Name: "register_kprobe", GPL: pointer(true), CRC: pointer(kmod.CRC(0x21))},
		{Name: "a_plain", Owner: "mod_a", GPL: pointer(false), CRC: pointer(kmod.CRC(0x31))},
		{Name: "a_gpl", Owner: "mod_a", GPL: pointer(true), Namespace: "A", CRC: pointer(kmod.CRC(0x32))},
	} {
		want.NamespaceKnown, want.Source = true, liveSource
		got, err := k.Symbol(want.Name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	if got, err := k.Symbol("none"); !errors.Is(err, ErrNoSymbol) || errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := k.Vermagic(); err != nil || got != release+" SMP mod_unload modversions " {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLiveFlags: kernels after 7.0 have one table, and flags beside it.
func TestLiveFlags(t *testing.T) {
	c := &fakeCore{}
	list := []fakeExport{{name: "one"}, {name: "two", flag: 1}, {name: "three", flag: 2}}
	entries, _, flags := c.table(list)
	c.symbol("__start___ksymtab", entries)
	c.symbol("__stop___ksymtab", entries+uint64(entrySize*len(list)))
	c.symbol("__start___kflagstab", flags)
	c.symbol("__stop___kflagstab", flags+uint64(len(list)))
	k := c.files(t).open(t)
	for name, gpl := range map[string]bool{"one": false, "two": true, "three": false} {
		if s, err := k.Symbol(name); err != nil || *s.GPL != gpl || s.CRC != nil {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// TestRelativeCRCs: CONFIG_MODULE_REL_CRCS has distances to the versions instead of them.
func TestRelativeCRCs(t *testing.T) {
	c := &fakeCore{}
	c.imageTables([]fakeExport{{name: "one"}, {name: "two"}}, nil)
	versions := c.put([]byte{0x78, 0x56, 0x34, 0x12, 0xef, 0xbe, 0xad, 0xde})
	symbols := newKallsyms()
	for line := range strings.Lines(c.list) {
		symbols.add([]byte(strings.TrimSpace(line)))
	}
	crcs := symbols.addresses["__start___kcrctab"]
	for i := range uint64(2) {
		binary.LittleEndian.PutUint32(c.data[crcs+4*i-coreBase:], uint32(versions-crcs)) // both words are as far away
	}
	all := c.files(t)
	all["boot/config-"+release] = "CONFIG_MODULE_REL_CRCS=y\n"
	k := all.open(t)
	for name, want := range map[string]kmod.CRC{"one": 0x12345678, "two": 0xdeadbeef} {
		if s, err := k.Symbol(name); err != nil || s.CRC == nil || *s.CRC != want {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// TestLiveDamaged: what makes no sense is unknown, and never an answer.
func TestLiveDamaged(t *testing.T) {
	good := fakeKernel()
	for name, damage := range map[string]func(files, *fakeCore){
		"no kcore":    func(f files, _ *fakeCore) { delete(f, "proc/kcore") },
		"no kallsyms": func(f files, _ *fakeCore) { delete(f, "proc/kallsyms") },
		"hidden addresses": func(f files, c *fakeCore) {
			f["proc/kallsyms"] = strings.ReplaceAll(c.list, "ffffffff81", "0000000000")
		},
		"empty kcore": func(f files, _ *fakeCore) { f["proc/kcore"] = "" },
		"junk":        func(f files, _ *fakeCore) { f["proc/kcore"] = strings.Repeat("\xff", 4096) },
		"header only": func(f files, _ *fakeCore) { f["proc/kcore"] = f["proc/kcore"][:64] },
		"half":        func(f files, _ *fakeCore) { f["proc/kcore"] = f["proc/kcore"][:180] },
		"names elsewhere": func(f files, c *fakeCore) {
			f["proc/kcore"] = strings.ReplaceAll(f["proc/kcore"], "_printk\x00", "\x01\x02\x03\x04\x05\x06\x07\x00")
		},
		"end before start": func(f files, c *fakeCore) {
			f["proc/kallsyms"] = strings.ReplaceAll(c.list, "__start___ksymtab\n", "__stop___ksymtab_\n")
		},
		"a symbol twice": func(f files, c *fakeCore) { f["proc/kallsyms"] = c.list + "0000000000001000 D __start___ksymtab\n" },
		"a table too large": func(f files, c *fakeCore) {
			f["proc/kallsyms"] = strings.ReplaceAll(c.list, " D __stop___ksymtab\n", " D x\n") + "fffffffff0000000 D __stop___ksymtab\n"
		},
		"a line too long": func(f files, c *fakeCore) { f["proc/kallsyms"] = strings.Repeat("f", 2*procfs.MaxLine) },
	} {
		all := good.files(t)
		damage(all, good)
		got, err := all.open(t).Symbol("_printk")
		if !errors.Is(err, ErrUnknown) || errors.Is(err, ErrNoSymbol) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 2000) {
			t.Errorf("%s: not one clear line: %q", name, err)
		}
	}
}

// TestModuleListWithoutEnd: a list that never comes back to its head, or leads nowhere.
func TestModuleListWithoutEnd(t *testing.T) {
	for name, next := range map[string]func(module uint64) uint64{
		"circle":   func(module uint64) uint64 { return module },
		"nowhere":  func(uint64) uint64 { return 0x1234 },
		"overflow": func(uint64) uint64 { return ^uint64(0) },
	} {
		c := &fakeCore{}
		c.imageTables([]fakeExport{{name: "one"}}, nil)
		module := c.module("m", nil, nil)
		c.link(module)
		c.set(module, next(module))
		k := c.files(t).open(t)
		if _, err := k.Symbol("one"); err != nil {
			t.Errorf("%s: the kernel's own: %v", name, err)
		}
		if _, err := k.moduleExports(); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCoreHeaders: program headers that overflow or overlap.
func TestCoreHeaders(t *testing.T) {
	good := fakeKernel().file()
	for name, damage := range map[string]func([]byte){
		"size overflows":    func(b []byte) { binary.LittleEndian.PutUint64(b[64+32:], ^uint64(0)) },
		"address overflows": func(b []byte) { binary.LittleEndian.PutUint64(b[64+16:], ^uint64(0)-10) },
		"offset far":        func(b []byte) { binary.LittleEndian.PutUint64(b[64+8:], 1<<61) },
		"table far":         func(b []byte) { binary.LittleEndian.PutUint64(b[32:], 1<<61) },
		"table overflows":   func(b []byte) { binary.LittleEndian.PutUint64(b[32:], ^uint64(0)) },
		"many headers":      func(b []byte) { binary.LittleEndian.PutUint16(b[56:], 0xffff) },
		"tiny headers":      func(b []byte) { binary.LittleEndian.PutUint16(b[54:], 1) },
	} {
		data := bytes.Clone(good)
		damage(data)
		m, err := parseCore(bytes.NewReader(data))
		if err == nil {
			_, err = m.read(coreBase, 16)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestMemoryBounds: however often it is asked, what is read stays bounded.
func TestMemoryBounds(t *testing.T) {
	m, err := parseCore(bytes.NewReader(fakeKernel().file()))
	if err != nil {
		t.Fatal(err)
	}
	m.left = 1
	if _, err := m.read(coreBase, 8); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		address uint64
		size    int
	}{{0, 8}, {coreBase, maxTable + 1}, {coreBase, -1}, {^uint64(0), 8}, {coreBase - 4, 8}, {coreBase + 1<<20, 1}} {
		if _, err := m.read(c.address, c.size); !errors.Is(err, errMemory) {
			t.Errorf("%#x, %d: %v", c.address, c.size, err)
		}
	}
	if _, err := m.text(coreBase, 0); err == nil {
		t.Error("a text of no bytes")
	}
}

func FuzzExportTable(f *testing.F) {
	good := fakeKernel()
	entries, _, _ := good.table([]fakeExport{{name: "one"}, {name: "two", namespace: "N"}})
	f.Add(good.file(), entries, uint16(2), true)
	f.Add([]byte("\x7fELF"), uint64(0), uint16(1), false)
	f.Fuzz(func(t *testing.T, core []byte, address uint64, count uint16, relative bool) {
		m, err := parseCore(bytes.NewReader(core))
		if err != nil {
			return
		}
		table := exportTable{
			entries: span{address, entrySize * int(count)}, crcs: span{address, 4 * int(count)}, flags: span{address, int(count)}, crcsRelative: relative,
		}
		found := make(exports)
		if table.read(m, "", "fuzz", found) == nil && len(found) > int(count) {
			t.Fatalf("%d symbols of %d", len(found), count)
		}
	})
}

// TestSymbolsUnprivileged: without the kernel's memory, its list of names tells what
// exists, and installed files what it is.
func TestSymbolsUnprivileged(t *testing.T) {
	hello := koimage.Hello()
	hello.Info = append(hello.Info, "srcversion=ABC")
	all := running(files{
		"proc/kallsyms": "0000000000000000 r __ksymtab__printk\n0000000000000000 r __ksymtab_hello_gpl\t[hello]\n" +
			"0000000000000000 r __ksymtab_other\t[other]\n",
		"proc/modules": "hello 16384 0 - Live 0x0000000000000000\nother 16384 0 - Live 0x0000000000000000\n",
		"lib/modules/" + release + "/modules.dep":              "extra/hello.ko:\n",
		"lib/modules/" + release + "/extra/hello.ko":           string(hello.Bytes()),
		"lib/modules/" + release + "/modules.symbols":          "# a comment\nalias symbol:hello_gpl hello\nalias symbol:x far-off\n",
		"sys/module/hello/srcversion":                          "ABC\n",
		"usr/src/linux-headers-" + release + "/Module.symvers": "",
	})
	k := all.open(t)
	if s, err := k.Symbol("_printk"); err != nil || s.GPL != nil || s.CRC != nil || s.NamespaceKnown {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("hello_gpl"); err != nil || s.Owner != "hello" || s.GPL == nil || !*s.GPL || s.Namespace != "HELLO" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("other"); err != nil || s.Owner != "other" || s.GPL != nil {
		t.Errorf("%+v, %v", s, err)
	}
	for _, name := range []string{"none", "x"} {
		if s, err := k.Symbol(name); !errors.Is(err, ErrNoSymbol) {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if p, err := k.Providers("x"); err != nil || !cmp.Equal(p, []string{"far_off"}) {
		t.Errorf("%v, %v", p, err)
	}
	// Another source than that of the file: the file says nothing.
	all["sys/module/hello/srcversion"] = "DEF\n"
	if s, err := all.open(t).Symbol("hello_gpl"); err != nil || s.Owner != "hello" || s.GPL != nil {
		t.Errorf("%+v, %v", s, err)
	}
	// A module that was stripped: it has exports, the list has none.
	all["proc/modules"] += "bare 16384 0 - Live 0x0000000000000000\n"
	all["sys/module/bare/sections/__ksymtab_gpl"] = ""
	if s, err := all.open(t).Symbol("none"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", s, err)
	}
	// Build records tell more about the kernel's own.
	all["usr/src/linux-headers-"+release+"/Module.symvers"] = "0x0000002a\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n0x00000001\tm\tdrivers/m\tEXPORT_SYMBOL\t\nline\n0xzz\ta\tvmlinux\tEXPORT_SYMBOL\t\n"
	if s, err := all.open(t).Symbol("_printk"); err != nil || s.GPL == nil || *s.GPL || s.CRC == nil || *s.CRC != 42 || !s.NamespaceKnown {
		t.Errorf("%+v, %v", s, err)
	}
	// Unless they are of another build, which exports something else.
	all["proc/kallsyms"] += "0000000000000000 r __ksymtab_local_patch\n"
	if s, err := all.open(t).Symbol("_printk"); err != nil || s.GPL != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSymbolsNotListed: a kernel whose list has no exports, as without CONFIG_KALLSYMS_ALL.
func TestSymbolsNotListed(t *testing.T) {
	all := running(files{
		"proc/kallsyms": "0000000000000000 T _printk\n",
		"proc/modules":  "hello 16384 0 - Live 0x0000000000000000\n",
		"lib/modules/" + release + "/modules.dep":              "extra/hello.ko:\n",
		"lib/modules/" + release + "/extra/hello.ko":           string(koimage.Hello().Bytes()),
		"lib/modules/" + release + "/modules.symbols":          "alias symbol:hello_gpl hello\n",
		"usr/src/linux-headers-" + release + "/Module.symvers": "0x00000000\t_printk\tvmlinux\tEXPORT_SYMBOL_GPL\n",
	})
	k := all.open(t)
	if s, err := k.Symbol("_printk"); err != nil || !*s.GPL || s.CRC != nil || s.NamespaceKnown {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("hello_gpl"); err != nil || s.Owner != "hello" || !*s.GPL {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("none"); !errors.Is(err, ErrNoSymbol) {
		t.Errorf("%+v, %v", s, err)
	}
	all["proc/modules"] += "unheard_of 1 0 - Live 0x0\n"
	if s, err := all.open(t).Symbol("none"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSymbolsInstalled: of a kernel that does not run, all that is installed counts.
func TestSymbolsInstalled(t *testing.T) {
	all := running(files{
		"lib/modules/9.9/modules.dep":     "extra/hello.ko:\nextra/gone.ko:\n",
		"lib/modules/9.9/extra/hello.ko":  string(koimage.Hello().Bytes()),
		"lib/modules/9.9/modules.symbols": "alias symbol:hello_gpl hello\nalias symbol:gone_symbol gone\n",
		"lib/modules/9.9/System.map":      "ffffffff81000000 R __ksymtab_one\n",
		"proc/kallsyms":                   "ffffffff81000000 R __ksymtab_wrong\n",
	})
	k := all.openRelease(t, "9.9")
	if s, err := k.Symbol("one"); err != nil || s.GPL != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("hello_gpl"); err != nil || s.Owner != "hello" || !*s.GPL {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("gone_symbol"); err != nil || s.Owner != "gone" || s.GPL != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("wrong"); !errors.Is(err, ErrNoSymbol) {
		t.Errorf("%+v, %v", s, err)
	}
	delete(all, "lib/modules/9.9/System.map")
	if s, err := all.openRelease(t, "9.9").Symbol("wrong"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", s, err)
	}
	delete(all, "lib/modules/9.9/modules.symbols")
	if _, err := all.openRelease(t, "9.9").Providers("x"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestFIFO: a pipe where a file should be does not hang.
func TestFIFO(t *testing.T) {
	root := running(nil).write(t)
	for _, name := range []string{"proc/kcore", "boot/vmlinuz-" + release, "boot/config-" + release} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := mkfifo(path); err != nil {
			t.Fatal(err)
		}
	}
	k, err := Open(&Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Symbol("x"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := k.Config("CONFIG_X"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}
