package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// asked is a kernel whose modprobe keeps a list of what it was asked.
type asked struct {
	*Kernel
	root, list string
}

// newAsked has a modprobe of that version, which answers with that script to $name.
func newAsked(t *testing.T, version, script string) *asked {
	t.Helper()
	root := hello("9.9").write(t)
	a := &asked{root: root, list: filepath.Join(root, "asked")}
	modprobe := filepath.Join(root, "modprobe")
	text := "#!/bin/sh\nfor name; do :; done\n[ \"$1\" = --version ] && { echo kmod version " + version + "; exit; }\n" +
		"echo \"$name\" >> '" + a.list + "'\nno() { echo \"modprobe: FATAL: Module $name not found in directory /x\" >&2; exit 1; }\n" + script + "\n"
	if err := os.WriteFile(modprobe, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := Open(&Options{Root: root, Release: "9.9", Modprobe: modprobe})
	if err != nil {
		t.Fatal(err)
	}
	// Every look counts, and the files, which were written just now, are taken as settled.
	k.answers.holds, k.answers.settles = 0, 0
	a.Kernel = k
	return a
}

// runs counts what modprobe was asked.
func (a *asked) runs(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(a.list)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// TestRemembered: modprobe is asked once for an alias, by however many, until one of the
// files changes that its answer comes from. An older one is asked by one run.
func TestRemembered(t *testing.T) {
	for version, each := range map[string]int{"30": 1, "34": 2, "thirty": 2} {
		k := newAsked(t, version, "case $name in known*) echo hello;; *) no;; esac")
		ask := func(alias string) {
			names, err := k.Modules(t.Context(), alias)
			if known := strings.HasPrefix(alias, "known"); known && (err != nil || fmt.Sprint(names) != "[hello]") || !known && !errors.Is(err, kmod.ErrNotFound) {
				t.Errorf("%s: %v, %v", alias, names, err)
			}
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { ask("known"); ask("unknown") })
		}
		all.Wait()
		if got, want := k.runs(t), 2*each; got != want {
			t.Errorf("version %s: %d runs for two questions, want %d", version, got, want)
		}
		changes := 0
		for _, path := range []string{"etc/modprobe.d/x.conf", "run/modprobe.d/y.conf", "lib/modules/9.9/modules.dep.bin", "lib/modules/9.9/modules.alias.bin", "lib/modules/9.9/modules.builtin.bin"} {
			for range 2 { // written, and written again
				changes++
				name := filepath.Join(k.root, path)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(strings.Repeat("#", changes)), 0o600); err != nil {
					t.Fatal(err)
				}
				ask("known")
				ask("known")
			}
		}
		if got, want := k.runs(t), (2+changes)*each; got != want {
			t.Errorf("version %s: %d runs after %d changes, want %d", version, got, changes, want)
		}
	}
}

// TestUnsettled: of files that were written just now nothing is remembered: they could be
// written again unnoticed.
func TestUnsettled(t *testing.T) {
	k := newAsked(t, "30", "echo hello")
	k.answers.settles = time.Hour
	for range 3 {
		if _, err := k.Modules(t.Context(), "known"); err != nil {
			t.Error(err)
		}
	}
	if got := k.runs(t); got != 3 {
		t.Errorf("%d runs, want 3", got)
	}
}

// TestFlood: random aliases have modprobe run no more often than the bound; the questions
// of those whom the flood is not of are answered, and so is what is remembered.
func TestFlood(t *testing.T) {
	k := newAsked(t, "30", "case $name in known) echo hello;; *) no;; esac")
	k.answers.limits[false] = rate.NewLimiter(0, 5)
	if _, err := k.Modules(t.Context(), "known"); err != nil {
		t.Fatal(err)
	}
	busy := 0
	for i := range 1000 {
		_, err := k.Modules(t.Context(), "net-pf-"+strconv.Itoa(i))
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case !errors.Is(err, kmod.ErrNotFound):
			t.Error(err)
		}
	}
	if got := k.runs(t); got != 5 || busy != 996 || k.Refused() != 996 {
		t.Errorf("%d runs, %d refused, %d counted", got, busy, k.Refused())
	}
	if names, err := k.Modules(t.Context(), "known"); err != nil || len(names) != 1 {
		t.Errorf("what is remembered: %v, %v", names, err)
	}
	if _, err := k.Modules(Trusted(t.Context()), "other"); !errors.Is(err, kmod.ErrNotFound) || errors.Is(err, ErrBusy) {
		t.Errorf("a trusted question: %v", err)
	}
}

// TestMemoryBound: long questions and answers, and too many, are not kept.
func TestMemoryBound(t *testing.T) {
	a := newAnswers()
	now := state{sum: 7, settled: true}
	a.of = now
	for i := range 3 * maxAnswers {
		a.keep(now, strconv.Itoa(i), answer{names: []string{"x"}})
	}
	a.keep(now, "long", answer{names: []string{strings.Repeat("x", maxAnswer)}})
	a.keep(now, "d:"+strings.Repeat("x", maxAnswer), answer{})
	if len(a.known) > maxAnswers {
		t.Errorf("%d answers", len(a.known))
	}
	for question := range a.known {
		if len(question) > 10 || question == "long" {
			t.Errorf("kept: %s", question)
		}
	}
	a.keep(state{sum: 8, settled: true}, "late", answer{})
	if _, ok := a.find(now, "late"); ok {
		t.Error("an answer of other files is kept")
	}
}

// TestModprobeHangs: a modprobe that does not end is killed, with what it started.
func TestModprobeHangs(t *testing.T) {
	k := newAsked(t, "30", "sleep 100000 & echo $! > ${0}.child; wait")
	k.answers.within = time.Second
	if _, err := k.Modules(t.Context(), "known"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
	text, err := os.ReadFile(filepath.Join(k.root, "modprobe.child"))
	if err != nil {
		t.Fatal(err)
	}
	child := filepath.Join("/proc", strings.TrimSpace(string(text)), "stat")
	for {
		stat, err := os.ReadFile(child)
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(state, "Z") {
			break
		}
		time.Sleep(time.Millisecond) // until the kernel has ended it
	}
	if len(k.answers.running) != 0 {
		t.Errorf("%d are counted as running", len(k.answers.running))
	}
}

// TestModprobeSlow: who has time waits for an answer that takes longer than usual.
func TestModprobeSlow(t *testing.T) {
	k := newAsked(t, "30", "sleep 1; echo one")
	k.answers.within = time.Millisecond
	if _, err := k.Modules(t.Context(), "usual"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a deadline: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if names, err := k.Modules(ctx, "patient"); err != nil || len(names) != 1 {
		t.Errorf("%q, %v", names, err)
	}
}

// TestForgedAlias: what anybody may have asked for is never an option or a file to modprobe.
func TestForgedAlias(t *testing.T) {
	k := newAsked(t, "30", "echo hello")
	for _, alias := range []string{"-x", "--version", "-C/tmp/x:y", "/tmp/x.ko", "/tmp/a:b", "./a:b", "../a:b", "a/b", "a b", "a\nb:c", "", ".", ".."} {
		if _, err := k.Modules(t.Context(), alias); !errors.Is(err, kmod.ErrBadName) {
			t.Errorf("%q: %v", alias, err)
		}
	}
	if got := k.runs(t); got != 0 {
		t.Errorf("%d runs", got)
	}
}
