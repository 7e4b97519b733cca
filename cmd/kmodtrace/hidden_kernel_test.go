package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/rule"
	"golang.org/x/sys/unix"
)

// TestHidden: a service finds modules that hide: from before it started, as soon as they are loaded, and twenty seconds
// later; of those that it saw loaded it has the file and the user. Modules that do not hide are none, also while they come
// and go. Those that hide stay for ever, so the test has a machine of its own.
func TestHidden(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" || os.Getenv("KMODTRACE_CRASH") == "" {
		t.Skip("hides modules for ever: runs only in a machine of its own (scripts/lab-tests)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	scan := func() (string, error) {
		out, err := exec.Command(roles.Path("kmodtrace"), "scan").CombinedOutput()
		return string(out), err
	}
	if out, err := scan(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run("/sbin/insmod", labModule("hider_list"))
	s := serve(t, t.TempDir(), "")
	found := func() map[string]*rule.Finding {
		r, err := journal.OpenReadOnly(s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		all := make(map[string]*rule.Finding)
		for rec, err := range r.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindFinding}, Causes: []string{"hidden-module", "unlisted-memory", "limit-eased"}}) {
			if err != nil {
				t.Fatal(err)
			}
			f := new(rule.Finding)
			if err := jsonline.Unmarshal(rec.Body, f); err != nil {
				t.Fatal(err)
			}
			all[f.Rule+" "+f.Module] = f
		}
		return all
	}
	hides := func(module, loaded string) {
		t.Helper()
		began := time.Now()
		await.Until(t, module+" is found", func() bool { return found()["hidden-module "+module] != nil })
		f := found()["hidden-module "+module]
		t.Logf("after %v: %s", time.Since(began).Round(time.Second), f.Text)
		if f.Severity != rule.Critical || f.Evidence["file"] != loaded || (loaded != "") != strings.Contains(f.Text, "it was loaded at") || !strings.Contains(f.Evidence["shown_by"], "available_filter_functions") {
			t.Errorf("%+v", f)
		}
	}
	hides("hider_list", "")
	run("/sbin/insmod", labModule("hider_sysfs"))
	run("/sbin/insmod", labModule("hider_both"), "after=20000")
	for i := range 10 { // beside them others come and go
		for _, m := range []string{"hello", "nap1"} {
			run("/sbin/insmod", labModule(m))
			if i < 9 {
				run("/sbin/rmmod", m)
			}
		}
	}
	hides("hider_sysfs", labModule("hider_sysfs"))
	hides("hider_both", labModule("hider_both"))
	out, err := scan()
	if err == nil {
		t.Error("scan finds nothing")
	}
	t.Logf("%s", out)
	for _, m := range []string{"hider_list", "hider_sysfs", "hider_both"} {
		if !strings.Contains(out, "hidden  "+m+"\n") {
			t.Errorf("scan does not find %s", m)
		}
	}
	if !strings.Contains(out, "3 modules hide") {
		t.Error("scan does not count them")
	}
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	if all := found(); len(all) != 3 {
		t.Errorf("%d findings: %v", len(all), all)
	}
}

// TestNothingHides: KMODTRACE_CYCLES loads and unloads of a module, and then three hundred modules at once, are nothing that
// hides. Each load has the service look.
func TestNothingHides(t *testing.T) {
	cycles, err := strconv.Atoi(os.Getenv("KMODTRACE_CYCLES"))
	if os.Getenv("KMODTRACE_LAB") == "" || err != nil {
		t.Skip("loads and unloads for many minutes: KMODTRACE_CYCLES=10000 scripts/lab-test TestNothingHides amd64/6.12")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, t.TempDir(), "")
	hello, err := os.Open(labModule("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer hello.Close()
	for i := range cycles {
		if err := unix.FinitModule(int(hello.Fd()), "", 0); err != nil {
			t.Fatal(i, err)
		}
		if err := unix.DeleteModule("hello", 0); err != nil {
			t.Fatal(i, err)
		}
		if i%1000 == 999 {
			t.Logf("%d cycles", i+1)
			time.Sleep(confirmed) // for a look that nothing disturbs
		}
	}
	const many = 300
	loaded := func() int {
		text, err := os.ReadFile("/proc/modules")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	for i := range 64 {
		mayFail("/sbin/insmod", labModule(fmt.Sprintf("nap%d", i)), "ms=0")
	}
	out, err := exec.Command("/bin/sh", "-c", "cut -d: -f1 /lib/modules/$(uname -r)/modules.dep").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.Lines(string(out)) {
		if loaded() >= many {
			break
		}
		name, _, _ := strings.Cut(filepath.Base(strings.TrimSpace(file)), ".")
		if strings.Contains(file, "/net/") || strings.Contains(file, "/fs/") || strings.Contains(file, "/crypto/") || strings.Contains(file, "/lib/") {
			mayFail("/sbin/modprobe", "-q", name)
		}
	}
	t.Logf("%d modules are loaded", loaded())
	time.Sleep(confirmed + time.Minute)
	if out, err := exec.Command(roles.Path("kmodtrace"), "scan").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	} else {
		t.Logf("%s", out)
	}
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	found, err := exec.Command(roles.Path("kmodtrace"), "history", "--journal", s.path, "--rule", "hidden-module,unlisted-memory,limit-eased,watching-fails").Output()
	if err != nil || len(found) > 0 {
		t.Errorf("%v: %s", err, found)
	}
}

// confirmed is enough for two looks of the service.
const confirmed = 30 * time.Second
