package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/presence"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// checked is a service whose rules are those that are built in.
func checked(t *testing.T) *Service {
	s := withJournal(t)
	s.begins(t, RulesConfig{Paths: []string{t.TempDir()}})
	return s
}

// TestLooks: a look comes after each load, thrice, however many come; and by chance.
func TestLooks(t *testing.T) {
	var l looks
	start := time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	l.looked(start)
	l.loaded(start.Add(time.Millisecond))
	var when []time.Duration
	for d := time.Duration(0); d < mostPause+thirdLook; d += time.Second {
		if l.due(at(d)) {
			when = append(when, d)
			l.looked(at(d))
		}
	}
	if len(when) < 4 || when[0] != 2*time.Second || when[1] != 11*time.Second || when[2] != 61*time.Second || when[3] < leastPause || when[3] > thirdLook+mostPause {
		t.Errorf("%v", when)
	}
	n := 0
	for d := time.Hour; d < time.Hour+time.Minute; d += 100 * time.Millisecond { // one load after the other
		l.loaded(at(d))
		if l.due(at(d)) {
			n++
			l.looked(at(d))
		}
	}
	if n < 5 || n > 7 {
		t.Errorf("%d looks in a minute", n)
	}
}

// fakeLook is a look in which the sources show what they are given.
func fakeLook(t *testing.T, shown map[presence.Source][]string) func(string, ...presence.Source) (*presence.Look, error) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var list strings.Builder
	for _, m := range shown[presence.List] {
		list.WriteString(m + " 4096 0 - Live 0x0\n")
	}
	write("proc/modules", list.String())
	write("proc/kallsyms", "")
	write("sys/module/x", "")
	write("sys/kernel/btf/vmlinux", "")
	for _, m := range shown[presence.Sysfs] {
		write("sys/module/"+m+"/initstate", "live\n")
	}
	for _, m := range shown[presence.Types] {
		write("sys/kernel/btf/"+m, "")
	}
	return func(_ string, sources ...presence.Source) (*presence.Look, error) {
		return presence.Ask(root, sources...)
	}
}

// TestHiddenModule: a module that some sources show and the list does not is raised, with its load, once; where a module
// comes between two looks nothing is said, and nothing where only the list shows one that was seen to be loaded.
func TestHiddenModule(t *testing.T) {
	s := checked(t)
	s.census.inventory([]kmod.Module{{Name: "fine", State: kmod.StateLive}})
	var load record.Record
	load.Kind, load.Module, load.Outcome, load.ID, load.Time = tracer.Load, "evil", tracer.Live, 77, time.Now()
	load.File = &tracer.File{Path: "/tmp/evil.ko"}
	r, err := s.recorder.action(&load)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.journal.Append(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	fine := map[presence.Source][]string{presence.List: {"fine"}, presence.Sysfs: {"fine"}, presence.Types: {"fine"}}
	hidden := map[presence.Source][]string{presence.List: {"fine"}, presence.Sysfs: {"fine"}, presence.Types: {"fine", "evil"}}
	seen := func(text string) (n int) {
		for _, body := range s.found(t) {
			if strings.Contains(body, `"hidden-module"`) && strings.Contains(body, text) {
				n++
			}
		}
		return n
	}
	check := func(shown map[presence.Source][]string, meanwhile func()) {
		synctest.Test(t, func(t *testing.T) {
			if meanwhile != nil {
				time.AfterFunc(confirmAfter/2, meanwhile)
			}
			s.checkPresence(t.Context(), time.Now(), fakeLook(t, shown))
		})
	}
	check(fine, nil)
	check(hidden, func() { s.census.saw(&tracer.Action{Kind: tracer.Load, Outcome: tracer.Live, Module: "fine"}) })
	if n := seen(""); n != 0 {
		t.Fatalf("%d findings", n)
	}
	check(hidden, nil)
	check(hidden, nil)
	if seen("") != 1 || seen("evil hides: it is shown by /sys/kernel/btf, and not by /proc/modules, /sys/module, /proc/kallsyms; it was loaded at ") != 1 || seen(`"file":"/tmp/evil.ko"`) != 1 || seen(r.ID) != 1 {
		t.Errorf("%s", strings.Join(s.found(t), "\n"))
	}
	if text := s.metricsText(t); !strings.Contains(text, `kmodtrace_findings_total{rule="hidden-module",severity="critical"} 1`) {
		t.Error("it is not counted")
	}
	// What was loaded and is shown by nothing any more.
	s.census.saw(&tracer.Action{Kind: tracer.Load, Outcome: tracer.Live, Module: "gone"})
	check(fine, nil)
	if seen("gone hides: it is shown by history,") != 1 {
		t.Errorf("%s", strings.Join(s.found(t), "\n"))
	}
}

// TestLimitsEased: what the kernel cannot take back is raised when it did, also a taint that only a record of a load has.
func TestLimitsEased(t *testing.T) {
	s := checked(t)
	s.checks.helper = usualHelper
	root := t.TempDir()
	set := func(tainted, disabled, helper string) {
		for name, text := range map[string]string{"tainted": tainted, "modules_disabled": disabled, "modprobe": helper} {
			path := filepath.Join(root, "proc/sys/kernel", name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	rules := func() (ids []string) {
		for r, err := range s.journal.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindFinding}, OldestFirst: true}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.Cause+" "+r.Outcome)
		}
		return ids
	}
	set("0", "0", usualHelper)
	s.checkLimits(root)
	set("4096", "1", "")
	s.checkLimits(root)
	set("4096", "1", "/usr/sbin/modprobe")
	s.checkLimits(root)
	if got := rules(); len(got) != 0 {
		t.Fatalf("%q", got)
	}
	set("0", "0", "/tmp/x")
	for range 3 {
		s.checkLimits(root)
	}
	if got := strings.Join(rules(), ", "); got != "limit-eased critical, limit-eased critical, helper-changed high" {
		t.Fatalf("%s", got)
	}
	s.checks.saw(&tracer.Action{Kind: tracer.Load, Outcome: tracer.Live, Details: &tracer.Module{Taints: 1 << 13}})
	s.checkLimits(root)
	if got := rules(); len(got) != 4 {
		t.Errorf("%q", got)
	}
	// One that is off is not raised.
	s.begins(t, RulesConfig{Paths: []string{t.TempDir()}, Off: []string{limitEased}})
	s.checks.raised = nil
	s.checkLimits(root)
	if got := rules(); len(got) != 4 {
		t.Errorf("%q", got)
	}
}

// TestSelfTest: a service that does not see its own calls says so, and is not healthy until it does; while much waits it
// is no sign of anything, and neither are calls that a filter may have refused, until one was seen.
func TestSelfTest(t *testing.T) {
	s := checked(t)
	s.filtered = func() bool { return true }
	kernel := s.tracer.(*quietKernel)
	kernel.set(func(k *quietKernel) { k.untested = errors.New("2 of 2 calls were not seen") })
	s.selfTest(t.Context())
	if found := s.found(t); len(found) > 0 || s.metrics.unhealthy() != nil {
		t.Errorf("under a filter: %q, %v", found, s.metrics.unhealthy())
	}
	kernel.set(func(k *quietKernel) { k.untested = nil })
	s.selfTest(t.Context())
	kernel.set(func(k *quietKernel) { k.untested, k.backlog = errors.New("2 of 2 calls were not seen"), 1 })
	s.selfTest(t.Context())
	if found := s.found(t); len(found) > 0 || s.metrics.unhealthy() != nil {
		t.Errorf("%q, %v", found, s.metrics.unhealthy())
	}
	kernel.set(func(k *quietKernel) { k.backlog = 0 })
	s.selfTest(t.Context())
	s.selfTest(t.Context())
	if found := s.found(t); len(found) != 1 || !strings.Contains(found[0], `"watching-fails"`) {
		t.Errorf("%q", found)
	}
	if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "2 of 2 calls were not seen") {
		t.Errorf("%v", err)
	}
	kernel.set(func(k *quietKernel) { k.untested = nil })
	s.selfTest(t.Context())
	if err := s.metrics.unhealthy(); err != nil {
		t.Error(err)
	}
}
