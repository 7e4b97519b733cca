package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// watch follows which packages are being tested and when each was last heard of. A test
// that is slow on a busy machine still says something from time to time; one that hangs
// does not. So what counts is silence, not how long a package takes.
type watch struct {
	mu   sync.Mutex
	open map[string]*progress // by package
}

// progress is what is known of a package that is being tested.
type progress struct {
	heard   time.Time            // when it said something
	running map[string]time.Time // its tests, and since when
	stalled bool                 // somebody is ending it
	ended   chan struct{}
}

// stall is a package that says nothing any more.
type stall struct {
	pkg   string
	why   string
	ended <-chan struct{} // closed when the package has ended
}

func newWatch() *watch { return &watch{open: make(map[string]*progress)} }

// take notes an event of go test -json.
func (w *watch) take(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.open[e.Package]
	switch {
	case p == nil && e.Action == "start":
		w.open[e.Package] = &progress{heard: time.Now(), running: make(map[string]time.Time), ended: make(chan struct{})}
		return
	case p == nil:
		return // one that does not build, or has no tests
	}
	p.heard = time.Now()
	switch e.Action {
	case "run", "cont":
		p.running[e.Test] = time.Now()
	case "pause":
		delete(p.running, e.Test)
	case "pass", "fail", "skip":
		delete(p.running, e.Test)
		if e.Test == "" {
			close(p.ended)
			delete(w.open, e.Package)
		}
	}
}

// follow calls do, on a goroutine of its own, for each package that has been silent for
// too long, until ctx is done. It returns when all of them have.
func (w *watch) follow(ctx context.Context, within time.Duration, do func(stall)) {
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(max(min(within/10, 10*time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range w.silent(within) {
			group.Go(func() { do(s) })
		}
	}
}

// silent gives the packages that have said nothing for so long, each of them once.
func (w *watch) silent(within time.Duration) (stalls []stall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.open)) {
		p := w.open[name]
		quiet := time.Since(p.heard)
		if quiet < within || p.stalled {
			continue
		}
		p.stalled = true
		stalls = append(stalls, stall{name, fmt.Sprintf("no output for %v; %s", quiet.Round(time.Second), p.tests()), p.ended})
	}
	return stalls
}

// tests says which tests run. A test whose subtest runs only waits for that.
func (p *progress) tests() string {
	names := slices.SortedFunc(maps.Keys(p.running), func(a, b string) int {
		return cmp.Or(p.running[a].Compare(p.running[b]), strings.Compare(a, b))
	})
	var texts []string
	for _, name := range names {
		if slices.ContainsFunc(names, func(other string) bool { return parentOf(other) == name }) {
			continue
		}
		texts = append(texts, fmt.Sprintf("%s (for %v)", name, time.Since(p.running[name]).Round(time.Second)))
	}
	if len(texts) == 0 {
		return "no test runs"
	}
	return "running: " + strings.Join(texts, ", ")
}
