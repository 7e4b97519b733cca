package calls

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// labModules skips where no modules can be loaded.
func labModules(t *testing.T) string {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	dir := os.Getenv("KMODTRACE_MODULES")
	if dir == "" {
		t.Skip("no modules were built for this kernel (kmodtrace lab build --specimens)")
	}
	return dir
}

// inner is what happens in a module inner that is loaded with a parameter.
type inner struct {
	how string
	// path and swallowed are expressions for function(errno) → …; "" for none.
	path, swallowed string
	place           string // of the last step: its definition, and where it is called
}

var inners = []inner{
	{how: "deep", path: `inner_init\(EIO\) deep\(EIO\) reset_chip\(EIO\) read_register\(EIO\)`, place: "inner.c:30 inner.c:38"},
	{how: "bundle", path: `inner_init\(ENODEV\) bundle\(ENODEV\) __platform_create_bundle\(ENODEV\) inner_probe\(ETIMEDOUT\) hw_reset\(ETIMEDOUT\)`, place: "inner.c:56 inner.c:64"},
	{how: "driver", swallowed: `inner_init\(\) driver\(\) __platform_driver_register\(\) inner_probe\(ETIMEDOUT\) hw_reset\(ETIMEDOUT\)`, place: "inner.c:56 inner.c:64"},
	{how: "allocate", path: `inner_init\(ENOMEM\) allocate\(ENOMEM\) __vmalloc(_noprof)?\(null\)`, place: " inner.c:103"},
	{how: "number", path: `inner_init\(EBUSY\) take_number\(EBUSY\) register_chrdev_region\(EBUSY\)`, place: " inner.c:116"},
	{how: "name", path: `inner_init\(EBUSY\) take_name\(EBUSY\) register_filesystem\(EBUSY\)`, place: " inner.c:126"},
	{how: "clocks", path: `inner_init\(ERANGE\) clocks\(ERANGE\) set_clock(\.[a-z]+\.\d+)*\(ERANGE\)`, place: "inner.c:155 "},
	{how: "rust", path: `inner_init\(EPROTO\) rust\(EPROTO\) _RNvNtCs8VKbRhxuQ2d_5inner6device5probe(\.[a-z]+\.\d+)*\(EPROTO\)`, place: "inner.c:175 inner.c:183"},
	{how: "tolerated", path: `inner_init\(EINVAL\) tolerated\(EINVAL\)`, place: "inner.c:203 "},
	{how: "nothing"},
}

// TestKernel: the first call that failed inside an init, with its line. On 5.10 setting the probes takes ten times as long, so
// that it has two of the ways there, and all with KMODTRACE_TIMES.
func TestKernel(t *testing.T) {
	modules := labModules(t)
	ways := inners
	if strings.HasPrefix(procfs.Uname().Release, "5.") && os.Getenv("KMODTRACE_TIMES") == "" {
		ways = inners[:2]
	}
	for _, each := range ways {
		t.Run(each.how, func(t *testing.T) {
			r := loadInner(t, filepath.Join(modules, "inner.ko"), "how="+each.how)
			if r.Lost != 0 || r.MissedReturns != 0 || r.LeftOut != 0 {
				t.Errorf("lost %d, missed %d, left out %d", r.Lost, r.MissedReturns, r.LeftOut)
			}
			checkPath(t, "path", r.Path, each.path, each.place)
			var first []Step
			if len(r.Swallowed) > 0 {
				first = r.Swallowed[0]
			}
			if each.swallowed == "" && each.how == "bundle" {
				return
			}
			checkPath(t, "swallowed", first, each.swallowed, each.place)
		})
	}
}

// loadInner loads a module while it is looked into, and unloads it.
func loadInner(t *testing.T, file string, params ...string) *Report {
	t.Helper()
	armed := arm(t, file, Init)
	_, err := kmod.Load(t.Context(), file, &kmod.LoadOptions{Params: params})
	t.Log("load:", err)
	r, stopErr := armed.Stop(0)
	if stopErr != nil {
		t.Error(stopErr)
	}
	checkGone(t)
	if err == nil {
		if err := kmod.Unload(t.Context(), "inner", nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d probes, about %v a call, unseen %v", r.Probes, r.CallCost, r.Unseen)
	for _, thread := range r.Threads {
		logCalls(t, thread.Calls, "")
	}
	return r
}

func arm(t *testing.T, file string, part Part) *Armed {
	t.Helper()
	image, err := kmod.ReadImage(file)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan("inner", image, &PlanOptions{Part: part, Types: KernelTypes()})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	armed, err := Arm(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { armed.Close() })
	t.Logf("set %d probes in %v", plan.Probes(), time.Since(start))
	return armed
}

func logCalls(t *testing.T, list []*Call, indent string) {
	for _, c := range list {
		t.Logf("%s%s = %s %s%s %v %s %s", indent, c.Function, c.Value, c.ErrnoName, c.PossibleErrnoName, c.Took, c.Defined, c.CalledAt)
		logCalls(t, c.Calls, indent+"  ")
	}
}

func checkPath(t *testing.T, what string, path []Step, want, place string) {
	t.Helper()
	var got []string
	for i := range path {
		name := path[i].ErrnoName
		if path[i].Null {
			name = "null"
		}
		got = append(got, fmt.Sprintf("%s(%s)", path[i].Function, name))
	}
	text := strings.Join(got, " ")
	if !regexp.MustCompile("^" + want + "$").MatchString(text) {
		t.Errorf("%s: %s, want %s", what, text, want)
	}
	if n := len(path); n > 0 {
		last := &path[n-1]
		if at := last.Defined + " " + last.CalledAt; at != place && !strings.HasSuffix(place, " ") || !strings.HasPrefix(at, place) {
			t.Errorf("%s: at %q, want %q", what, at, place)
		}
	}
}

// checkGone: neither an instance nor an event of ours is left.
func checkGone(t *testing.T) {
	t.Helper()
	root, err := Tracefs()
	if err != nil {
		t.Fatal(err)
	}
	if groups, err := groupsIn(root); err != nil || len(groups) > 0 {
		t.Errorf("left in tracefs: %v, %v", groups, err)
	}
}

// TestKernelBare: without debug information nothing is called an error of which it is not known what it returns, and the
// path says so; the place is function and offset.
func TestKernelBare(t *testing.T) {
	file := filepath.Join(labModules(t), "inner_bare.ko")
	image, err := kmod.ReadImage(file)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan("inner_bare", image, &PlanOptions{Types: KernelTypes()})
	if err != nil {
		t.Fatal(err)
	}
	armed, err := Arm(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kmod.Load(t.Context(), file, &kmod.LoadOptions{Params: kmod.Params{"how=deep"}})
	t.Log("load:", err)
	r, err := armed.Stop(0)
	if err != nil {
		t.Error(err)
	}
	checkGone(t)
	if len(r.Path) != 4 {
		t.Fatalf("path %+v", r.Path)
	}
	for i, want := range []string{"inner_init", "deep", "reset_chip", "read_register"} {
		s := &r.Path[i]
		known := i == 0
		if s.Function != want || (s.ErrnoName == "EIO") != known || (s.PossibleErrnoName == "EIO") == known || s.Defined != "" {
			t.Errorf("step %d: %+v", i, s)
		}
	}
	if last := &r.Path[3]; !strings.HasPrefix(last.Caller, "reset_chip+0x") {
		t.Errorf("called at %q %q", last.CalledAt, last.Caller)
	}
}

// TestKernelSlow: what took long by itself.
func TestKernelSlow(t *testing.T) {
	r := loadInner(t, filepath.Join(labModules(t), "inner.ko"), "how=slow")
	var slowest *Call
	var walk func([]*Call)
	walk = func(list []*Call) {
		for _, c := range list {
			if slowest == nil || c.OwnTime > slowest.OwnTime {
				slowest = c
			}
			walk(c.Calls)
		}
	}
	for _, thread := range r.Threads {
		walk(thread.Calls)
	}
	if slowest == nil || slowest.Function != "msleep" || slowest.OwnTime < 400*time.Millisecond || slowest.CalledAt != "inner.c:140" {
		t.Errorf("slowest is %+v", slowest)
	}
}

// TestKernelExit: an exit that takes long.
func TestKernelExit(t *testing.T) {
	file := filepath.Join(labModules(t), "inner.ko")
	if _, err := kmod.Load(t.Context(), file, &kmod.LoadOptions{Params: kmod.Params{"exit_ms=300"}}); err != nil {
		t.Fatal(err)
	}
	armed := arm(t, file, Exit)
	err := kmod.Unload(t.Context(), "inner", nil)
	r, stopErr := armed.Stop(0)
	if err := errors.Join(err, stopErr); err != nil {
		t.Fatal(err)
	}
	checkGone(t)
	for _, thread := range r.Threads {
		logCalls(t, thread.Calls, "")
	}
	if len(r.Threads) != 1 || len(r.Threads[0].Calls) != 1 {
		t.Fatalf("%+v", r.Threads)
	}
	drain := r.Threads[0].Calls[0]
	// Most kernels do not let .exit.text be traced; that is said.
	if hidden := slices.ContainsFunc(r.Unseen, func(u Unseen) bool { return u.Function == "inner_exit" }); !hidden {
		if drain.Function != "inner_exit" || len(drain.Calls) != 1 {
			t.Fatalf("%+v", drain)
		}
		drain = drain.Calls[0]
	}
	if drain.Function != "drain_queue" || drain.Took < 300*time.Millisecond || len(drain.Calls) != 1 || drain.Calls[0].Function != "msleep" {
		t.Errorf("%+v", drain)
	}
}

// TestKernelTwo: two owners look into one module, and each sees all; what a dead one left goes, and what a living one has stays.
func TestKernelTwo(t *testing.T) {
	file := filepath.Join(labModules(t), "inner.ko")
	first, second := arm(t, file, Init), arm(t, file, Init)
	root, err := Tracefs()
	if err != nil {
		t.Fatal(err)
	}
	dead := prefix + "4194303_0" // no such process
	if err := os.Mkdir(filepath.Join(root, "instances", dead), 0o700); err != nil {
		t.Fatal(err)
	}
	events, err := os.OpenFile(filepath.Join(root, "kprobe_events"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(events, "p:%s/e0 inner:inner_init\n", dead)
	events.Close()
	if err := errors.Join(write(filepath.Join(root, "instances", dead, "events", dead, "enable"), "1"), Sweep(root)); err != nil {
		t.Fatal(err)
	}
	groups, err := groupsIn(root)
	if err != nil || len(groups) != 2 || groups[dead] {
		t.Errorf("%v, %v", groups, err)
	}
	if _, err := kmod.Load(t.Context(), file, &kmod.LoadOptions{Params: kmod.Params{"how=deep"}}); err == nil {
		t.Error("it is loaded")
	}
	for _, armed := range []*Armed{first, second} {
		r, err := armed.Stop(0)
		if err != nil {
			t.Error(err)
		}
		checkPath(t, "path", r.Path, inners[0].path, "inner.c:30 ") // one of them gets the other's return
	}
	checkGone(t)
}

// TestKernelLockdown: a kernel that is locked down for confidentiality takes no probe, and the error says so.
func TestKernelLockdown(t *testing.T) {
	if mode, _ := os.ReadFile("/sys/kernel/security/lockdown"); os.Getenv("KMODTRACE_LAB") == "" || !strings.Contains(string(mode), "[confidentiality]") {
		t.Skip("needs a machine of the lab that is locked down (LAB_APPEND=lockdown=confidentiality)")
	}
	image, err := kmod.ReadImage(filepath.Join(labModules(t), "inner.ko"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan("inner", image, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Arm(plan, nil); err == nil || !strings.Contains(err.Error(), "locked down for confidentiality") {
		t.Errorf("%v", err)
	}
}
