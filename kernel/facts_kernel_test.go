package kernel

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// openRunning skips where the kernel is not one of the lab's.
func openRunning(t *testing.T) *Kernel {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("reads the kernel's memory and loads modules: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the lab runs tests as root, and this is not")
	}
	k, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// openShown skips on the one kernel of the matrix that does not show where its data is.
func openShown(t *testing.T) *Kernel {
	t.Helper()
	k := openRunning(t)
	if runtime.GOARCH == "arm64" && strings.HasPrefix(k.Release(), "6.1.") {
		t.Skip("its list of symbols has no data: it was built without CONFIG_KALLSYMS_ALL")
	}
	return k
}

// load loads a module by name or file for the time of the test.
func load(t *testing.T, target string, modules ...string) {
	t.Helper()
	if _, err := kmod.Load(t.Context(), target, nil); err != nil && !errors.Is(err, kmod.ErrLoaded) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), await.Bound)
		defer cancel()
		for _, module := range modules {
			if err := kmod.Unload(ctx, module, &kmod.UnloadOptions{Wait: true}); err != nil && !errors.Is(err, kmod.ErrNotLoaded) {
				t.Errorf("cleaning up: %v", err)
			}
		}
	})
}

// installedFile gives the plain image of an installed module.
func installedFile(t *testing.T, k *Kernel, name string) (*kmod.File, []byte) {
	t.Helper()
	f, err := k.moduleFile(name)
	if err != nil {
		t.Fatal(err)
	}
	image, err := kmod.ReadImage(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	return f, image
}

func TestKernelIdentity(t *testing.T) {
	k := openShown(t)
	if !k.Running() || k.Release() == "" {
		t.Errorf("release %q, running %v", k.Release(), k.Running())
	}
	if dir, ok := k.ModulesDir(); !ok {
		t.Errorf("no %s", dir)
	}
	f, _ := installedFile(t, k, "dummy")
	if k.Machine() != f.Machine {
		t.Errorf("machine %q, modules have %q", k.Machine(), f.Machine)
	}
	live, err := k.live()
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Vermagic()
	if err != nil || got != f.Value("vermagic") || live.vermagic != got {
		t.Errorf("vermagic %q (in memory %q), %v; modules have %q", got, live.vermagic, err, f.Value("vermagic"))
	}
	if _, err := Open(&Options{Release: "1.2.3-none"}); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), k.Release()) {
		t.Errorf("a kernel that is not there: %v", err)
	}
}

// TestKernelSymbols compares the kernel's tables with what modules were built against.
func TestKernelSymbols(t *testing.T) {
	k := openShown(t)
	start := time.Now()
	live, err := k.live()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := k.moduleExports()
	if live.imageErr != nil || err != nil {
		t.Fatal(live.imageErr, err)
	}
	gpl, namespaced, versioned := 0, 0, 0
	for _, s := range live.image {
		if *s.GPL {
			gpl++
		}
		if s.Namespace != "" {
			namespaced++
		}
		if s.CRC != nil {
			versioned++
		}
	}
	t.Logf("%d symbols, %d GPL, %d namespaced, %d with versions; %d of modules; read in %v",
		len(live.image), gpl, namespaced, versioned, len(loaded), time.Since(start).Round(time.Millisecond))
	symbols, err := k.kallsyms()
	if err != nil {
		t.Fatal(err)
	}
	for name, module := range symbols.exported {
		if _, ok := live.image[name]; module == "" && !ok {
			t.Errorf("%s is listed as exported and not in the tables", name)
		}
	}
	if listed, err := k.listedExports(); err != nil || len(listed) != len(live.image) {
		t.Errorf("%d exports are listed, %d are in the tables; %v", len(listed), len(live.image), err)
	}
	print := "_printk"
	if strings.HasPrefix(k.Release(), "5.10.") {
		print = "printk"
	}
	if s, err := k.Symbol(print); err != nil || s.GPL == nil || *s.GPL || s.Owner != "" || s.Namespace != "" || !s.NamespaceKnown {
		t.Errorf("%+v, %v", s, err)
	}
	for _, name := range []string{"kallsyms_lookup_name", "no_such_symbol", ""} {
		if s, err := k.Symbol(name); !errors.Is(err, ErrNoSymbol) {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	}
	if s, err := k.Symbol("bpf_prog_put"); err != nil || s.GPL == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := k.Symbol("register_kprobe"); err != nil || s.GPL == nil || !*s.GPL {
		t.Errorf("%+v, %v", s, err)
	}
	if namespaced == 0 || gpl == 0 {
		t.Error("a kernel without namespaces, or without GPL symbols")
	}
}

// TestKernelImports: everything that modules of the kernel import is known, with the
// version that they were built against.
func TestKernelImports(t *testing.T) {
	k := openShown(t)
	load(t, "xfs", "xfs")
	versions := 0
	for _, module := range []string{"xfs", "dummy", "ext4", "veth"} {
		f, err := k.moduleFile(module)
		if err != nil {
			t.Logf("%s: %v", module, err)
			continue
		}
		for _, want := range f.Imports {
			got, err := k.Symbol(want.Name)
			if errors.Is(err, ErrNoSymbol) {
				if p, err := k.Providers(want.Name); module != "xfs" && err == nil && len(p) > 0 || want.Weak {
					continue // of a module that is not loaded
				}
			}
			if err != nil {
				t.Errorf("%s: %v", module, err)
				continue
			}
			if !sameCRC(got.CRC, want.CRC) {
				t.Errorf("%s imports %+v, the kernel has %+v", module, want, got)
			}
			if got.CRC != nil {
				versions++
			}
			if got.Namespace != "" && !strings.HasPrefix(got.Namespace, "module:") && !slices.Contains(f.Values("import_ns"), got.Namespace) {
				t.Errorf("%s uses %+v and imports namespaces %v", module, got, f.Values("import_ns"))
			}
		}
	}
	t.Logf("%d versions are alike", versions)
}

// TestKernelModuleSymbols: what loaded modules export, from memory, is what their files say.
func TestKernelModuleSymbols(t *testing.T) {
	k := openShown(t)
	for _, pair := range [][2]string{{"8021q", "llc"}, {"8021q", "garp"}, {"8021q", "stp"}} {
		f, err := k.moduleFile(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Exports) == 0 {
			t.Fatalf("%s exports nothing", pair[1])
		}
		before, _ := Open(nil)
		if s, err := before.Symbol(f.Exports[0].Name); !errors.Is(err, ErrNoSymbol) {
			t.Errorf("not loaded: %+v, %v", s, err)
		}
		if p, err := before.Providers(f.Exports[0].Name); err != nil || !slices.Equal(p, []string{pair[1]}) {
			t.Errorf("providers %v, %v", p, err)
		}
	}
	load(t, "8021q", "8021q", "mrp", "garp", "stp", "llc")
	after, _ := Open(nil)
	for _, owner := range []string{"llc", "garp", "stp"} {
		f, err := k.moduleFile(owner)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Exports {
			s, err := after.Symbol(e.Name)
			if err != nil || s.Owner != owner || s.GPL == nil || *s.GPL != e.GPL || s.Namespace != e.Namespace || s.Source != liveSource ||
				!sameCRC(s.CRC, e.CRC) {
				t.Errorf("%+v, %v; the file has %+v", s, err, e)
			}
		}
	}
}

// TestKernelVerify verifies installed modules, as they are and changed.
func TestKernelVerify(t *testing.T) {
	k := openShown(t)
	keys, err := k.Keys()
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	text, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		t.Logf("%+v", key)
		if !bytes.Contains(text, []byte(key.Description)) {
			t.Errorf("/proc/keys does not have %+v", key)
		}
	}
	for _, module := range []string{"dummy", "xfs", "8021q"} {
		f, image := installedFile(t, k, module)
		if f.Signature == nil {
			t.Errorf("%s is not signed", module)
			continue
		}
		start := time.Now()
		if err := k.Verify(image); err != nil {
			t.Errorf("%s: %v", module, err)
		}
		t.Logf("%s: %s %s, verified in %v", module, f.Signature.Hash, f.Signature.KeyID, time.Since(start).Round(time.Millisecond))
		flipped := bytes.Clone(image)
		flipped[len(image)/2] ^= 1
		if err := k.Verify(flipped); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, changed: %v", module, err)
		}
		body, _ := kmod.CutSignature(image)
		if err := k.Verify(body); !errors.Is(err, ErrUnsigned) {
			t.Errorf("%s, without: %v", module, err)
		}
		// The serial number begins the certificate's name in the signature.
		other := bytes.Clone(image)
		at := bytes.LastIndex(other, f.Signature.Serial)
		other[at+len(f.Signature.Serial)-1] ^= 1
		if err := k.Verify(other); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s, of another key: %v", module, err)
		}
	}
}

// TestKernelPolicy: the lab's kernels boot without restrictions.
func TestKernelPolicy(t *testing.T) {
	k := openRunning(t)
	if enforced, err := k.SignatureEnforced(); err != nil || enforced != strings.Contains(k.line("proc/cmdline"), "sig_enforce=1") {
		t.Errorf("enforced %v, %v", enforced, err)
	}
	if level, err := k.Lockdown(); err != nil || level == "" {
		t.Errorf("lockdown %q, %v", level, err)
	}
	if disabled, err := k.ModulesDisabled(); err != nil || disabled {
		t.Errorf("disabled %v, %v", disabled, err)
	}
	if path, err := k.Modprobe(); err != nil || path == "" {
		t.Errorf("modprobe %q, %v", path, err)
	}
	ours, oursErr := k.Decompression()
	theirs, theirsErr := kmod.HaveDecompression()
	if ours != theirs || (oursErr == nil) != (theirsErr == nil) {
		t.Errorf("decompression %v, %v; kmod says %v, %v", ours, oursErr, theirs, theirsErr)
	}
	if k.CmdlineBlacklist("dummy") {
		t.Error("the kernel blacklists dummy")
	}
	if names, err := k.Modules(t.Context(), "rtnl-link-dummy"); err != nil || !slices.Equal(names, []string{"dummy"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := k.Modules(t.Context(), "no-such-alias"); !errors.Is(err, kmod.ErrNotFound) {
		t.Error(err)
	}
	if !k.Builtin("tcp_cubic") && !k.Builtin("printk") || k.Builtin("dummy") {
		t.Error("built-in modules are not told from others")
	}
	load(t, "dummy", "dummy")
	if m, err := k.Loaded("dummy"); err != nil || m == nil || m.Name != "dummy" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := k.Loaded("xyz"); err != nil || m != nil {
		t.Errorf("%+v, %v", m, err)
	}
}
