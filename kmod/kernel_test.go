package kmod

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulikunitz/xz"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// needKernel skips a test that loads modules where that must not be tried.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the lab runs tests as root, and this is not")
	}
}

// specimen gives a module built for the lab's kernel.
func specimen(t *testing.T, name string) string {
	t.Helper()
	needKernel(t)
	dir := os.Getenv("KMODTRACE_MODULES")
	if dir == "" {
		t.Skip("no specimens were built for this kernel (kmodtrace lab build)")
	}
	path := filepath.Join(dir, name+".ko")
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unload(t, name) })
	return path
}

// unload takes a module out if it is in.
func unload(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Bound)
	defer cancel()
	if err := Unload(ctx, name, &UnloadOptions{Wait: true}); err != nil && !errors.Is(err, ErrNotLoaded) {
		t.Errorf("cleaning up: %v", err)
	}
}

func mustLoad(t *testing.T, target string, opts *LoadOptions) []Step {
	t.Helper()
	steps, err := Load(t.Context(), target, opts)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// loaded finds a module in the kernel's list.
func loaded(t *testing.T, name string) (Module, bool) {
	t.Helper()
	modules, err := List(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return Module{}, false
	}
	return modules[i], true
}

func TestKernelLife(t *testing.T) {
	path := specimen(t, "hello")
	if err := HaveModules(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustLoad(t, path, &LoadOptions{Params: Params{"whom=big wide world"}})
		got, ok := loaded(t, "hello")
		if !ok || got.State != StateLive || got.InitState != "live" || got.Refs == nil || *got.Refs != 0 || got.Size == 0 || got.Address == 0 {
			t.Fatalf("%+v", got)
		}
		if got := procfs.FirstLine("/sys/module/hello/parameters/whom"); got != "big wide world" {
			t.Errorf("the kernel got whom=%q", got)
		}
		if !slices.ContainsFunc(got.Taints, func(taint Taint) bool { return taint.Letter == "O" }) || !got.Unsigned {
			t.Errorf("taints %v, unsigned %v: want out-of-tree and unsigned", got.Taints, got.Unsigned)
		}
		f, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.SrcVersion != f.Value("srcversion") {
			t.Errorf("srcversion: the kernel has %q, the file %q", got.SrcVersion, f.Value("srcversion"))
		}
		if err := Unload(t.Context(), "hello", nil); err != nil {
			t.Fatal(err)
		}
		if got, ok := loaded(t, "hello"); ok {
			t.Fatalf("still there: %+v", got)
		}
	}
}

// TestKernelParams: the bytes arrive as they were given.
func TestKernelParams(t *testing.T) {
	path := specimen(t, "hello")
	for _, value := range []string{"x", "a b  c", "caf\u00e9", "\xff\xfe", "\u00e0 la carte", "a'b", `a\b`, `a"b"c`, "a=b", strings.Repeat("y", 1000)} {
		mustLoad(t, path, &LoadOptions{Params: Params{"whom=" + value}})
		if got := procfs.FirstLine("/sys/module/hello/parameters/whom"); got != value {
			t.Errorf("gave %q, the kernel has %q", value, got)
		}
		unload(t, "hello")
	}
}

// TestKernelName loads by names and aliases, with and without dependencies.
func TestKernelName(t *testing.T) {
	needKernel(t)
	for target, modules := range map[string][]string{
		"dummy":           {"dummy"},
		"rtnl-link-dummy": {"dummy"},
		"8021q":           {"8021q", "mrp", "garp", "stp", "llc"},
	} {
		steps := mustLoad(t, target, nil)
		for _, module := range modules {
			if _, ok := loaded(t, module); !ok {
				t.Errorf("%s: %s is not loaded; steps %+v", target, module, steps)
			}
			step := slices.IndexFunc(steps, func(s Step) bool { return s.Module == module })
			if step < 0 || steps[step].Target != (module == modules[0]) {
				t.Errorf("%s: step of %s: %+v", target, module, steps)
			}
		}
		again, err := Load(t.Context(), target, nil)
		if !errors.Is(err, ErrLoaded) || !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s twice: %v", target, err)
		}
		for _, step := range again {
			if !step.Target && step.Kind == StepLoad {
				t.Errorf("%s twice: %s would be loaded again", target, step.Module)
			}
		}
		for _, module := range modules {
			if err := Unload(t.Context(), module, nil); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestKernelSoft: libcrc32c wishes for a faster crc32c on these kernels, and xfs needs
// libcrc32c. From 6.14 or so it is part of the kernel.
func TestKernelSoft(t *testing.T) {
	needKernel(t)
	steps, err := Plan(t.Context(), "xfs", nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, step := range steps {
		found = found || step.Module == "libcrc32c"
		if soft := step.Kind == StepLoad && strings.HasPrefix(step.Module, "crc32c_"); step.Soft != soft {
			t.Errorf("%+v", step)
		}
	}
	if !found {
		t.Skip("xfs needs no libcrc32c on this kernel")
	}
}

// TestKernelPacked loads the same module in each compression, whether the kernel or
// this package unpacks it.
func TestKernelPacked(t *testing.T) {
	path := specimen(t, "hello")
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for compression, data := range packed(t, image) {
		files[compression.String()] = data
	}
	var crc64 bytes.Buffer
	w, err := xz.NewWriter(&crc64) // CRC64, which no kernel takes
	if err != nil {
		t.Fatal(err)
	}
	w.Write(image)
	w.Close()
	files["xz with CRC64"] = crc64.Bytes()
	kernels, err := HaveDecompression()
	t.Logf("the kernel decompresses: %v, %v", kernels, err)
	for name, data := range files {
		// The name lies on purpose: the content decides.
		file := filepath.Join(t.TempDir(), "module.ko")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(t.Context(), file, nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := loaded(t, "hello"); !ok {
			t.Errorf("%s: not loaded", name)
		}
		unload(t, "hello")
	}
}

// TestKernelRefuses: what the kernel says no to, and how we say it.
func TestKernelRefuses(t *testing.T) {
	hello := specimen(t, "hello")
	user, refuse := specimen(t, "user"), specimen(t, "refuse")
	image, err := os.ReadFile(hello)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Another kernel's. The release counts only where there are no modversions.
	other := bytes.Replace(image, []byte(" SMP "), []byte(" UMP "), 1)
	for name, c := range map[string]struct {
		path   string
		params Params
		want   []error
	}{
		"text":           {write("text.ko", []byte("hello\n")), nil, []error{ErrNotModule, unix.ENOEXEC}},
		"half":           {write("half.ko", image[:len(image)/2]), nil, []error{ErrNotModule, unix.ENOEXEC}},
		"empty":          {write("empty.ko", nil), nil, []error{ErrNotModule}},
		"directory":      {dir, nil, []error{ErrNotModule, unix.EISDIR}},
		"missing":        {filepath.Join(dir, "none.ko"), nil, []error{ErrNotFound, fs.ErrNotExist, unix.ENOENT}},
		"bad gzip":       {write("bad.ko.gz", []byte{0x1f, 0x8b, 0, 0}), nil, []error{ErrNotModule}},
		"other kernel":   {write("other.ko", other), nil, []error{unix.ENOEXEC}},
		"missing symbol": {user, nil, []error{unix.ENOENT}},
		"init says no":   {refuse, Params{"err=13"}, []error{unix.EACCES}},
		"bad parameter":  {refuse, Params{"err=many"}, []error{unix.EINVAL}},
	} {
		_, err := Load(t.Context(), c.path, &LoadOptions{Params: c.params})
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", name, err)
		}
	}
}

// TestKernelForce loads what is said to be another kernel's.
func TestKernelForce(t *testing.T) {
	image, err := os.ReadFile(specimen(t, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	image = bytes.Replace(image, []byte(" SMP "), []byte(" UMP "), 1)
	path := filepath.Join(t.TempDir(), "hello.ko")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, path, &LoadOptions{Force: ForceVermagic})
	got, _ := loaded(t, "hello")
	if !slices.Contains(got.Taints, Taint{"F", "force-loaded"}) {
		t.Errorf("taints: %v", got.Taints)
	}
}

// TestKernelBuiltin: what is part of the kernel is neither loaded nor unloaded.
func TestKernelBuiltin(t *testing.T) {
	needKernel(t)
	if _, err := os.Stat("/sys/module/printk"); err != nil {
		t.Fatal(err)
	}
	err := Unload(t.Context(), "printk", nil)
	if !errors.Is(err, ErrBuiltin) || !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	_, err = Load(t.Context(), "no_such_module_here", nil)
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestKernelHeld unloads what another module uses, waits for it, and tries twice.
func TestKernelHeld(t *testing.T) {
	base := specimen(t, "base")
	user := specimen(t, "user")
	mustLoad(t, base, nil)
	mustLoad(t, user, nil)
	if got, _ := loaded(t, "base"); !slices.Equal(got.Holders, []string{"user"}) {
		t.Errorf("holders of base: %v", got.Holders)
	}
	err := Unload(t.Context(), "base", nil)
	if !errors.Is(err, ErrInUse) || !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), "by user") {
		t.Errorf("held: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = Unload(ctx, "base", &UnloadOptions{Wait: true})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrInUse) {
		t.Errorf("waiting in vain: %v", err)
	}
	done := make(chan error)
	go func() { done <- Unload(context.Background(), "base", &UnloadOptions{Wait: true}) }()
	if err := Unload(t.Context(), "user", nil); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("waiting: %v", err)
	}
	err = Unload(t.Context(), "base", nil)
	if !errors.Is(err, ErrNotLoaded) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("twice: %v", err)
	}
}

// TestKernelNoExit: a module without an exit function stays.
func TestKernelNoExit(t *testing.T) {
	needKernel(t)
	path := filepath.Join(os.Getenv("KMODTRACE_MODULES"), "noexit.ko") // cannot be cleaned up
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if _, ok := loaded(t, "noexit"); !ok {
		mustLoad(t, path, nil)
	}
	if got, _ := loaded(t, "noexit"); !got.Permanent {
		t.Errorf("%+v", got)
	}
	err := Unload(t.Context(), "noexit", &UnloadOptions{Wait: true}) // returns: waiting is in vain
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "no exit function") {
		t.Error(err)
	}
}

// TestKernelPrivilege: without CAP_SYS_MODULE, EPERM and nothing done.
func TestKernelPrivilege(t *testing.T) {
	path := specimen(t, "hello")
	if err := HavePrivilege(); err != nil {
		t.Fatal(err)
	}
	type result struct{ load, unload, list error }
	results := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread dies with what it lost
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			results <- result{err, err, err}
			return
		}
		if err := HavePrivilege(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("privilege: %v", err)
		}
		_, load := Load(context.Background(), path, nil)
		_, list := List(nil)
		results <- result{load, Unload(context.Background(), "hello", nil), list}
	}()
	got := <-results
	if !errors.Is(got.load, unix.EPERM) || !errors.Is(got.unload, unix.EPERM) || got.list != nil || !strings.Contains(got.load.Error(), "needs CAP_SYS_MODULE") {
		t.Errorf("%+v", got)
	}
	if _, ok := loaded(t, "hello"); ok {
		t.Error("loaded all the same")
	}
}

// TestKernelInstall: modprobe.d's install lines are told, never run.
func TestKernelInstall(t *testing.T) {
	needKernel(t)
	mark := filepath.Join(t.TempDir(), "ran")
	conf := "/etc/modprobe.d/kmod-test.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "install dummy touch " + mark + "\noptions veth a=1 b=\"2 3\"\nblacklist ifb\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(conf)
	steps, err := Load(t.Context(), "dummy", nil)
	if !errors.Is(err, ErrInstallCommand) || !strings.Contains(err.Error(), "touch") {
		t.Errorf("%+v, %v", steps, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command was run")
	}
	if files, err := Find(t.Context(), "dummy", nil); err != nil || len(files) != 1 {
		t.Errorf("finding its file all the same: %v, %v", files, err)
	}
	steps, err = Plan(t.Context(), "veth", &LoadOptions{Params: Params{"c=4"}})
	if err != nil || len(steps) == 0 || steps[len(steps)-1].Params != `a=1 b="2 3" c=4` {
		t.Errorf("%+v, %v", steps, err)
	}
}

// TestKernelInstallOnTheWay: an install command of a dependency refuses the load, with the dependency's name.
// One of a soft dependency does not.
func TestKernelInstallOnTheWay(t *testing.T) {
	needKernel(t)
	conf := "/etc/modprobe.d/kmod-test.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "install garp /bin/false\ninstall ifb /bin/false\nsoftdep dummy pre: ifb\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(conf)
	_, err := Load(t.Context(), "8021q", nil)
	var step *Error
	var install *InstallError
	if !errors.As(err, &step) || step.Module != "garp" || !errors.As(err, &install) || !install.Dependency {
		t.Errorf("%v", err)
	}
	mustLoad(t, "garp", &LoadOptions{IgnoreInstall: true})
	mustLoad(t, "8021q", nil)
	steps := mustLoad(t, "dummy", nil)
	if len(steps) != 2 || !steps[0].Soft || !errors.Is(steps[0].Err, ErrInstallCommand) {
		t.Errorf("%+v", steps)
	}
	for _, module := range []string{"dummy", "8021q", "mrp", "garp", "stp", "llc"} {
		unload(t, module)
	}
}

// TestKernelLsmod compares List with the lsmod of the kmod package.
func TestKernelLsmod(t *testing.T) {
	needKernel(t)
	lsmod, err := exec.LookPath("lsmod")
	if err != nil {
		t.Skipf("nothing to compare with: %v", err)
	}
	mustLoad(t, "8021q", nil)
	defer func() {
		for _, module := range []string{"8021q", "mrp", "garp", "stp", "llc"} {
			unload(t, module)
		}
	}()
	out, err := exec.Command(lsmod).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := List(nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")[1:]
	if len(lines) != len(modules) || len(lines) < 5 {
		t.Fatalf("lsmod has %d, we have %d", len(lines), len(modules))
	}
	for i, line := range lines {
		fields := append(strings.Fields(line), "")
		holders := strings.FieldsFunc(fields[3], func(c rune) bool { return c == ',' })
		slices.Sort(holders) // lsmod takes their order from a directory
		m := modules[i]
		slices.Sort(m.Holders)
		if fields[0] != m.Name || !slices.Equal(holders, m.Holders) {
			t.Errorf("lsmod %q, we %+v", line, m)
		}
	}
}
