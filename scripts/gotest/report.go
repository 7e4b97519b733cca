package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// event is one line of go test -json (see go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// count is how many tests ended how.
type count struct{ passed, failed, skipped int }

func (c count) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

func (c count) total() int { return c.passed + c.failed + c.skipped }

// addTo adds the counts as a line to the tally, and what failed to the file beside it.
func (r *report) addTo(tally string) error {
	err := appendTo(tally, fmt.Sprintln(r.count.passed, r.count.failed, r.count.skipped))
	if err == nil && r.failures.Len() > 0 {
		err = appendTo(tally+".failures", r.failures.String())
	}
	return err
}

func appendTo(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// test is what is known of one test, or of a package by the empty name.
type test struct {
	output   strings.Builder
	hasSub   bool // has subtests
	subFails bool // one of them failed, which fails this one too
	began    bool // else only a subtest's name speaks of it: "docs" of "docs/lab.md"
	ended    bool
}

type testName struct{ pkg, name string }

// report prints what go test tells, as soon as it is known.
type report struct {
	mu      sync.Mutex // of all but watch
	w       io.Writer
	watch   *watch
	tests   map[testName]*test
	skips   map[string][]string // tests by reason
	count   count
	slowest slowest
	// failures has what each failure was counted for, and the end of what it printed.
	failures strings.Builder

	blamed map[string]bool // packages with a test that failed
	hung   map[string]bool // packages that were ended, and have failed whatever they say
}

func newReport(w io.Writer) *report {
	return &report{w: w, watch: newWatch(), tests: map[testName]*test{}, skips: map[string][]string{}, slowest: slowest{}, blamed: map[string]bool{}, hung: map[string]bool{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case line[0] != '{' || json.Unmarshal(line, &e) != nil:
			r.say("%s", line) // go test's own words, not a test's
		default:
			r.watch.take(e)
			r.take(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// say prints what is not a test's.
func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.w, format, args...)
}

// hangs says that a package hangs, and why that is known.
func (r *report) hangs(s stall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung[s.pkg] = true
	fmt.Fprintf(io.MultiWriter(r.w, &r.failures), "gotest: %s: %s\n", s.pkg, s.why)
}

func (r *report) take(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Action == "build-output" {
		fmt.Fprint(r.w, e.Output)
	}
	if e.Package == "" {
		return // of a build, which the package's own end tells too
	}
	t := r.test(e.Package, e.Test)
	t.began = true
	switch e.Action {
	case "output":
		if !isNoise(e.Output) {
			t.output.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		t.ended = true
		if e.Test == "" {
			r.endPackage(e, t)
		} else {
			r.endTest(e, t)
		}
	}
}

// test finds a test, and tells its parent that it is one.
func (r *report) test(pkg, name string) *test {
	key := testName{pkg, name}
	t, ok := r.tests[key]
	if !ok {
		t = new(test)
		r.tests[key] = t
		if parent := parentOf(name); parent != "" {
			r.test(pkg, parent).hasSub = true
		}
	}
	return t
}

// parentOf names the test that a subtest belongs to, or nothing.
func parentOf(name string) string {
	return name[:max(strings.LastIndexByte(name, '/'), 0)]
}

func (r *report) endTest(e event, t *test) {
	if parent := parentOf(e.Test); parent != "" && e.Action == "fail" {
		r.test(e.Package, parent).subFails = true
	}
	if !t.hasSub {
		r.slowest.add(e)
	}
	switch {
	case e.Action == "fail":
		fmt.Fprintf(r.w, "--- FAIL: %s %s (%.1f s)\n%s", e.Package, e.Test, e.Elapsed, t.output.String())
		r.blamed[e.Package] = true
		if !t.subFails {
			r.fails(e, t)
		}
	case e.Action == "skip":
		reason := reasonOf(t.output.String())
		r.skips[reason] = append(r.skips[reason], e.Test)
		r.count.skipped++
	case !t.hasSub:
		r.count.passed++
	}
	t.output.Reset()
}

// maxRepeated is how many lines of a failure are repeated at the end of a run of several steps.
const maxRepeated = 30

// fails counts a failure of a test, or of a package by itself.
func (r *report) fails(e event, t *test) {
	r.count.failed++
	lines := slices.Collect(strings.Lines(t.output.String()))
	fmt.Fprintf(&r.failures, "--- FAIL: %s\n", strings.TrimSpace(e.Package+" "+e.Test))
	if cut := len(lines) - maxRepeated; cut > 0 {
		fmt.Fprintf(&r.failures, "    [%d lines, above]\n", cut)
		lines = lines[cut:]
	}
	r.failures.WriteString(strings.Join(lines, ""))
}

// endPackage ends what a panic or a killed process has left open, subtests before
// their parents, and counts a package that failed without a test's doing.
func (r *report) endPackage(e event, t *test) {
	if e.Action == "pass" && r.hung[e.Package] {
		e.Action = "fail"
		t.output.WriteString("    it said that it passed, and did not end\n")
	}
	if e.Action == "pass" {
		fmt.Fprintf(r.w, "ok    %s  %.1f s\n%s", e.Package, e.Elapsed, r.slowest.text(e.Package))
	}
	if e.Action != "fail" {
		return
	}
	var open []string
	for key, other := range r.tests {
		if key.pkg == e.Package && other.began && !other.ended {
			open = append(open, key.name)
		}
	}
	slices.Sort(open)
	for _, name := range slices.Backward(open) {
		other := r.test(e.Package, name)
		other.output.WriteString("    did not end\n")
		r.endTest(event{Action: "fail", Package: e.Package, Test: name}, other)
	}
	if !r.blamed[e.Package] {
		r.fails(e, t)
	}
	fmt.Fprintf(r.w, "%sFAIL  %s  %.1f s\n%s", t.output.String(), e.Package, e.Elapsed, r.slowest.text(e.Package))
}

// finish prints the skipped tests by their reasons and the closing line.
func (r *report) finish() count {
	for _, reason := range slices.Sorted(maps.Keys(r.skips)) {
		names := r.skips[reason]
		slices.Sort(names)
		fmt.Fprintf(r.w, "skipped %d: %s\n      %s\n", len(names), reason, strings.Join(names, " "))
	}
	fmt.Fprintln(r.w, r.count)
	return r.count
}

// reasonOf finds what a skipped test said last: "    file_test.go:12: reason".
func reasonOf(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if place, reason, ok := strings.Cut(last, ": "); ok && strings.Contains(place, ".go:") {
		last = reason
	}
	if last == "" {
		return "no reason given"
	}
	return last
}

// isNoise tells the marks of go test's own, which the report replaces.
func isNoise(line string) bool {
	for _, mark := range []string{"=== ", "--- PASS", "--- FAIL", "--- SKIP"} {
		if strings.HasPrefix(strings.TrimLeft(line, " "), mark) {
			return true
		}
	}
	for _, mark := range []string{"PASS\n", "FAIL\n", "FAIL\t", "ok  \t", "?   \t"} {
		if strings.HasPrefix(line, mark) {
			return true
		}
	}
	return false
}
