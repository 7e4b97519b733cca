package cause

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kernel"
)

const (
	release  = "6.12.0-test"
	vermagic = release + " SMP preempt mod_unload modversions "
	modules  = "lib/modules/" + release + "/"
)

// files are what a fake root has, by path. One whose text is gone is not there.
type files map[string]string

// gone takes a file of ordinary out.
const gone = "\x00gone"

// ordinary is a machine that lets everything in: no signatures wanted, no lockdown.
// goodIndex is what modprobe looks names up in, as far as anybody but modprobe looks at it.
const goodIndex = "\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\x00\x00\x0c\x00"

func ordinary() files {
	own := hello()
	own.Info = []string{"license=GPL", "name=own", "vermagic=" + vermagic}
	return files{
		"proc/cmdline":                             "quiet\n",
		"proc/modules":                             "dep 4096 0 - Live 0x0\n",
		"proc/sys/kernel/arch":                     "x86_64\n",
		"proc/sys/kernel/modprobe":                 "/sbin/modprobe\n",
		"proc/sys/kernel/modules_disabled":         "0\n",
		"proc/sys/kernel/osrelease":                release + "\n",
		"sys/kernel/security/lockdown":             "[none] integrity confidentiality\n",
		"sys/kernel/security/lsm":                  "lockdown,capability,selinux\n",
		"sys/module/module/parameters/sig_enforce": "N\n",
		"sys/module/dep/initstate":                 "live\n",
		"sys/module/inside/uevent":                 "",
		"boot/config-" + release:                   "CONFIG_MODULES=y\nCONFIG_MODULE_SIG=y\nCONFIG_MODVERSIONS=y\n",
		modules + "build/Module.symvers": "0x00000010\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n" +
			"0x00000011\tfree\tvmlinux\tEXPORT_SYMBOL\t\n" +
			"0x00000012\tgpl_only\tvmlinux\tEXPORT_SYMBOL_GPL\t\n" +
			"0x00000013\tspaced\tvmlinux\tEXPORT_SYMBOL\tSPACE\n" +
			"0x00000014\tfriends\tvmlinux\tEXPORT_SYMBOL\tmodule:kvm-intel,hel*\n" +
			"0x00000015\tstrangers\tvmlinux\tEXPORT_SYMBOL\tmodule:kvm-intel,helios\n",
		modules + "modules.builtin": "kernel/drivers/inside.ko\n",
		modules + "modules.dep":     "kernel/own.ko:\nkernel/dep.ko:\nkernel/giver.ko:\n",
		modules + "modules.dep.bin": goodIndex, modules + "modules.symbols.bin": goodIndex, modules + "modules.builtin.bin": goodIndex,
		modules + "modules.symbols": "alias symbol:given giver\nalias symbol:dep_gives dep\n",
		modules + "kernel/own.ko":   string(own.Bytes()),
		modules + "kernel/dep.ko":   string(withExport("dep", koimage.Symbol{Name: "dep_gives", CRC: 0x20}).Bytes()),
		modules + "kernel/giver.ko": string(withExport("giver", koimage.Symbol{Name: "given", CRC: 0x21}).Bytes()),
		"modprobe":                  modprobeScript("case $name in net-pf-1) echo hello;; pair) echo hello; echo other;; *) no;; esac"),
	}
}

// with is ordinary but for some files.
func (f files) with(more files) files {
	for path, text := range more {
		f[path] = text
	}
	return f
}

// write makes a root of them.
func (f files) write(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range f {
		if text == gone {
			continue
		}
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// open opens the kernel that runs in a root of them.
func (f files) open(t testing.TB) *kernel.Kernel {
	t.Helper()
	root := f.write(t)
	k, err := kernel.Open(&kernel.Options{Root: root, Modprobe: filepath.Join(root, "modprobe")})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// unprivileged is what a kernel shows to nobody in particular: nothing of its policy,
// its symbols or its modules.
func unprivileged() files {
	return files{
		"proc/cmdline": "quiet\n", "proc/modules": "", "proc/sys/kernel/arch": "x86_64\n",
		"proc/sys/kernel/osrelease": release + "\n", "proc/sys/kernel/modules_disabled/unreadable": "",
	}
}

// modprobeScript answers to --resolve-alias for $name.
func modprobeScript(body string) string {
	return fmt.Sprintf("#!/bin/sh\nfor name; do :; done\nno() { echo \"modprobe: FATAL: Module $name not found in directory /x\" >&2; exit 1; }\n%s\n", body)
}

// hello is a module that the ordinary machine takes.
func hello() koimage.Module {
	m := koimage.Module{This: true}
	m.Info = []string{
		"license=GPL", "name=hello", "vermagic=" + vermagic,
		"parmtype=times:int", "parmtype=whom:charp", "parmtype=loud:bool", "parmtype=list:array of byte",
	}
	m.Imports = []koimage.Symbol{{Name: "module_layout", CRC: 0x10, Weak: true}, {Name: "free", CRC: 0x11}}
	return m
}

// changed is hello after a change.
func changed(change func(*koimage.Module)) koimage.Module {
	m := hello()
	change(&m)
	return m
}

// larger is hello for a kernel whose struct module is larger than the ordinary one's.
func larger() koimage.Module { return changed(func(m *koimage.Module) { m.Struct = make([]byte, 64) }) }

// older is the ordinary machine with a kernel of another version, of as many letters.
func older(version string) files {
	f := make(files)
	for path, text := range ordinary() {
		f[strings.ReplaceAll(path, release, version)] = strings.ReplaceAll(text, release, version)
	}
	return f
}

// wanting is hello with another import.
func wanting(s koimage.Symbol) koimage.Module {
	return changed(func(m *koimage.Module) { m.Imports = append(m.Imports, s) })
}

// mixture is hello with imports of the ordinary machine's, in this order.
func mixture(names ...string) koimage.Module {
	return changed(func(m *koimage.Module) {
		for _, name := range names {
			m.Imports = append(m.Imports, koimage.Symbol{Name: name, CRC: map[string]uint32{"gpl_only": 0x12, "dep_gives": 0x20}[name]})
		}
	})
}

// licensed is hello under another licence, with another import.
func licensed(licence string, s koimage.Symbol) koimage.Module {
	m := wanting(s)
	m.Info[0] = "license=" + licence
	return m
}

// withExport is another module that exports something.
func withExport(name string, s koimage.Symbol) koimage.Module {
	return changed(func(m *koimage.Module) {
		m.Info = []string{"license=GPL", "name=" + name, "vermagic=" + vermagic}
		m.Exports = append(m.Exports, s)
	})
}

// replacedDep is a machine where dep is loaded in an older build than the installed one, which exports
// something more.
func replacedDep() files {
	dep := withExport("dep", koimage.Symbol{Name: "dep_gives", CRC: 0x20})
	dep.Exports = append(dep.Exports, koimage.Symbol{Name: "dep_more", CRC: 0x22})
	dep.Info = append(dep.Info, "srcversion=NEW")
	return files{
		"sys/module/dep/srcversion": "OLD\n",
		modules + "modules.symbols": "alias symbol:given giver\nalias symbol:dep_gives dep\nalias symbol:dep_more dep\n",
		modules + "kernel/dep.ko":   string(dep.Bytes()),
	}
}

// file writes one of any content.
func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkCause compares a cause with what is wanted of it.
func checkCause(t *testing.T, c *Cause, code Code, says string) {
	t.Helper()
	switch {
	case c == nil:
		t.Fatalf("no cause, want %s", code)
	case c.Code != code:
		t.Errorf("%s\n%s\nwant %s", c, strings.Join(c.Evidence, "\n"), code)
	case !strings.Contains(c.Text, says):
		t.Errorf("%s\ndoes not say %q", c, says)
	}
	if strings.Contains(c.Text+strings.Join(c.Evidence, "")+c.Next, "(unknown)") {
		t.Errorf("a name is missing: %s\n%s\n%s", c, strings.Join(c.Evidence, "\n"), c.Next)
	}
	if c.Text == "" || c.Next == "" || c.Evidence == nil {
		t.Errorf("incomplete: %+v", c)
	}
}
