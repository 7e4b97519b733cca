package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestTimeline loads modules of several kinds, and looks whether what is drawn of each adds
// up. With KMODTRACE_RECORD it also leaves each in that directory, for timeline's golden files:
// scripts/record-timelines.
func TestTimeline(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	modules := os.Getenv("KMODTRACE_MODULES")
	unload(t, []string{"hello", "wants_garp", "8021q", "mrp", "garp", "stp", "llc"}) // earlier tests may have left them
	session, end, err := act.OpenSession(t.Context(), tracer.Auto)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		target string
		params kmod.Params
		check  func(*testing.T, *timeline.Picture)
	}{
		"hello":        {filepath.Join(modules, "hello.ko"), kmod.Params{"whom=you"}, checkHelloPicture},
		"refused":      {filepath.Join(modules, "refuse.ko"), nil, checkRefusedPicture},
		"missing":      {filepath.Join(modules, "wants_garp.ko"), nil, checkMissingPicture},
		"messages":     {filepath.Join(modules, "chatty.ko"), kmod.Params{"lines=300"}, checkMessages},
		"dependencies": {"garp", nil, checkDependencies},
		"long":         {filepath.Join(modules, "nap0.ko"), kmod.Params{"ms=1500"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := loadedPicture(t, session, test.target, test.params)
			for _, a := range p.Actions {
				checkSpans(t, a)
				if doubts := a.Doubts(); len(doubts) > 0 && name != "messages" {
					t.Errorf("doubts: %q", doubts)
				}
			}
			if test.check != nil {
				test.check(t, p)
			}
			checkDrawn(t, p)
			leave(t, name, p)
		})
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	t.Run("partial", testPartial)
}

// loadedPicture loads a module as `load` does, and unloads all of it again.
func loadedPicture(t *testing.T, session *proof.Session, target string, params kmod.Params) *timeline.Picture {
	t.Helper()
	steps, err := kmod.Plan(t.Context(), target, &kmod.LoadOptions{Params: params})
	if err != nil {
		t.Fatal(err)
	}
	r, err := session.LoadSteps(t.Context(), target, steps)
	session.Explain(t.Context(), r)
	p := timeline.New(r.Actions)
	if p == nil {
		t.Fatalf("%s: no action: %v", target, err)
	}
	session.Kernel().Refresh()
	p.Main.Facts = timeline.Gather(session.Kernel(), &p.Main.Action, act.FileOf(&p.Main.Action, steps))
	for _, a := range slices.Backward(p.Actions) {
		if a.Outcome != tracer.Live {
			continue
		}
		if out, err := exec.Command("rmmod", a.Module).CombinedOutput(); err != nil {
			t.Errorf("unload %s: %v: %s", a.Module, err, out)
		}
	}
	return p
}

// checkSpans: they follow each other without a gap from the call to its answer, and nothing
// is left over.
func checkSpans(t *testing.T, a *timeline.Action) {
	t.Helper()
	at := time.Duration(0)
	for _, s := range a.Spans {
		if s.After != at || s.Took < 0 || s.Open {
			t.Errorf("%s: %s from %v for %v, open %v; the one before it ends at %v", a.Module, s.Name, s.After, s.Took, s.Open, at)
		}
		at = s.After + s.Took
	}
	if at != a.Took {
		t.Errorf("%s: its spans add up to %v of %v", a.Module, at, a.Took)
	}
	for _, m := range a.Marks {
		if !m.Timed || m.At > a.Took || m.During == "" {
			t.Errorf("%s: message %+v in %v", a.Module, m, a.Took)
		}
	}
}

func checkHelloPicture(t *testing.T, p *timeline.Picture) {
	a := p.Main
	last := a.Marks[len(a.Marks)-1]
	if last.Text != "hello: Hello, you!" || last.During != "init" {
		t.Errorf("last message %+v", last)
	}
	known := 0
	for _, s := range a.Facts.Sections {
		if s.Address != 0 {
			known++
		}
	}
	if known < 3 {
		t.Errorf("%d sections with addresses: %+v", known, a.Facts.Sections)
	}
	if len(a.Facts.Providers) != 1 || a.Facts.Providers[0].Module != "" {
		t.Errorf("providers %+v, want the kernel alone", a.Facts.Providers)
	}
}

func checkRefusedPicture(t *testing.T, p *timeline.Picture) {
	if s := p.Main.Failed(); s == nil || s.Name != "init" {
		t.Errorf("failed in %+v, want init", s)
	}
}

func checkMissingPicture(t *testing.T, p *timeline.Picture) {
	if s := p.Main.Failed(); s == nil || s.Name != "resolve" {
		t.Errorf("failed in %+v, want resolve", s)
	}
	if got := p.Main.Facts.Missing; len(got) != 1 || got[0] != "garp_request_join" {
		t.Errorf("missing %q", got)
	}
}

func checkMessages(t *testing.T, p *timeline.Picture) {
	if n := len(p.Main.Marks); n < 100 {
		t.Errorf("%d messages", n)
	}
}

func checkDependencies(t *testing.T, p *timeline.Picture) {
	if len(p.Actions) != 3 || p.Main.Module != "garp" {
		t.Errorf("%d actions, the main one %s; want llc and stp before garp", len(p.Actions), p.Main.Module)
	}
	for _, provider := range p.Main.Facts.Providers {
		if provider.Module == "stp" {
			return
		}
	}
	t.Errorf("stp is none of the providers %+v", p.Main.Facts.Providers)
}

// testPartial begins to trace while a load waits for a symbol of a module whose init
// sleeps: what was before is not known, and no stage of it is invented.
func testPartial(t *testing.T) {
	modules := os.Getenv("KMODTRACE_MODULES")
	unload(t, []string{"slowuser0", "slowbase"}) // earlier tests may have left them
	// Long enough for a busy machine to begin the other load meanwhile, and well below the
	// 30 s after which the kernel's resolve_symbol_wait gives up (EBUSY).
	base := exec.Command("insmod", filepath.Join(modules, "slowbase.ko"), "ms=20000")
	if err := base.Start(); err != nil {
		t.Fatal(err)
	}
	awaitText(t, "/sys/module/slowbase/initstate", "coming")
	cmd := exec.Command("insmod", filepath.Join(modules, "slowuser0.ko"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitText(t, fmt.Sprintf("/proc/%d/stack", cmd.Process.Pid), "load_module")
	tr, err := tracer.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		// Probes on returns do not see that of a function which they found begun: the
		// action may be one of those that are unfinished at the end.
		ended <- errors.Join(base.Wait(), cmd.Wait())
		cancel()
	}()
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for a, err := range tr.Actions(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Module != "slowuser0" {
			continue
		}
		found = true
		p := timeline.New([]record.Record{record.NewInquiry(k, false).All(context.Background(), &a)})
		if !a.Partial || len(p.Main.Doubts()) == 0 || len(p.Main.Spans) != 1 || !p.Main.Spans[0].Partly {
			t.Errorf("partial %v, doubts %q, spans %+v", a.Partial, p.Main.Doubts(), p.Main.Spans)
		}
		checkDrawn(t, p)
		leave(t, "partial", p)
	}
	if !found {
		t.Error("no action of the load")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("rmmod", "slowuser0", "slowbase").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// awaitText waits until a file of the kernel has a text in it.
func awaitText(t *testing.T, file, want string) {
	t.Helper()
	await.Until(t, file+" says "+want, func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), want)
	})
}

// checkDrawn: each form of the picture is made, and names the module.
func checkDrawn(t *testing.T, p *timeline.Picture) {
	t.Helper()
	var svg, html, text strings.Builder
	if err := p.SVG(&svg); err != nil {
		t.Error(err)
	}
	if err := p.HTML(&html); err != nil {
		t.Error(err)
	}
	for _, l := range p.Text(nil) {
		text.WriteString(l.String() + "\n")
	}
	for form, drawn := range map[string]string{"svg": svg.String(), "html": html.String(), "text": text.String()} {
		if !strings.Contains(drawn, p.Main.Module) {
			t.Errorf("%s does not name %s", form, p.Main.Module)
		}
	}
	t.Log("\n" + text.String())
}

// leave keeps, where that is asked for, what a picture is made of.
func leave(t *testing.T, name string, p *timeline.Picture) {
	t.Helper()
	dir := os.Getenv("KMODTRACE_RECORD")
	if dir == "" {
		return
	}
	var recorded struct {
		Actions []*record.Record `json:"actions"`
		Facts   *timeline.Facts  `json:"facts"`
	}
	for _, a := range p.Actions {
		recorded.Actions = append(recorded.Actions, a.Record)
	}
	recorded.Facts = p.Main.Facts
	text, err := jsonline.Marshal(recorded)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
