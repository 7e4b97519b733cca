package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
)

// TestCauses makes every cause happen on a real kernel, in every way in which a user
// meets it, and asks kmodtrace why (the table is in causes_table_test.go). It runs in
// machines that were booted for it, each with the arguments of one group of
// cases, whose name is in KMODTRACE_BOOT: make causes does that, and makes a
// matrix of the lines "causes: {…}" that this prints.
func TestCauses(t *testing.T) {
	boot := os.Getenv("KMODTRACE_BOOT")
	if boot == "" || os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("breaks kernels that were booted for it: make causes")
	}
	w := newWorld(t, boot)
	for _, c := range causeCases() {
		if c.boot != boot {
			continue
		}
		t.Run(c.title(), func(t *testing.T) { w.try(t, &c) })
	}
}

// causeCase is one real failure: how it is made, and what must be said about it.
type causeCase struct {
	code cause.Code
	name string // tells apart the cases of one code
	boot string // the machine that it happens in; see scripts/causes
	// file is a specimen; params go with it. Without do, it is loaded, and must
	// not be.
	file   string
	params []string
	// setup brings about what the case needs, and gives what undoes it.
	setup func(*world, *testing.T) (undo func())
	// ways are those in which it is tried, by default allWays.
	ways []string
	// do tries it in one way, where that is not just loading the file.
	do func(w *world, t *testing.T, way string) seen
	// not says which ways cannot have it, and why.
	not map[string]string
	// lacks says why this kernel cannot have it; empty when it can.
	lacks func(*world) string
	// says are words that the explanation must contain.
	says []string
	// check is what kmodtrace check must say: the same code by default. The
	// unknowable is what only the load shows.
	check cause.Code
}

// unknowable is the check of a case that no look beforehand can tell; unasked that of
// one which is not about a file.
const (
	unknowable cause.Code = "unknowable"
	unasked    cause.Code = "unasked"
)

func (c *causeCase) title() string {
	if c.name == "" {
		return string(c.code)
	}
	return string(c.code) + "/" + c.name
}

// seen is what kmodtrace made of a try.
type seen struct {
	cause    *cause.Cause
	warnings []cause.Cause
	problem  string // instead of both
	reported bool   // by the case itself, for ways of its own
}

// outcome is one cell of the matrix.
type outcome struct {
	Kernel  string     `json:"kernel"`
	Code    cause.Code `json:"code"`
	Case    string     `json:"case"`
	Way     string     `json:"way"`
	Verdict string     `json:"verdict"` // right, wrong, not producible
	Why     string     `json:"why,omitempty"`
}

const (
	cellRight = "right"
	cellWrong = "wrong"
	cellNone  = "not producible"
)

func (w *world) report(t *testing.T, c *causeCase, way, verdict, why string) {
	t.Helper()
	line, err := json.Marshal(outcome{w.kernel.Release(), c.code, c.name, way, verdict, why})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\ncauses: %s\n", line)
	if verdict == cellWrong {
		t.Errorf("%s: %s: %s", cellWrong, way, why)
	}
}

func (w *world) try(t *testing.T, c *causeCase) {
	ways := c.ways
	if ways == nil {
		ways = []string{"insmod", "modprobe", "load"}
	}
	if c.check != unasked {
		ways = append(slices.Clone(ways), "check")
	}
	if c.lacks != nil {
		if why := c.lacks(w); why != "" {
			for _, way := range ways {
				w.report(t, c, way, cellNone, why)
			}
			return
		}
	}
	if c.file != "" && !w.installVariant(t, c.file) {
		for _, way := range ways {
			w.report(t, c, way, cellNone, "this kernel has no such specimen")
		}
		return
	}
	for _, way := range ways {
		w.tryWay(t, c, way)
	}
}

func (w *world) tryWay(t *testing.T, c *causeCase, way string) {
	if why := c.not[way]; why != "" {
		w.report(t, c, way, cellNone, why)
		return
	}
	if way == "check" && c.check == unknowable {
		w.report(t, c, way, cellNone, "only the load shows it")
		return
	}
	if c.setup != nil {
		undo := c.setup(w, t)
		defer undo()
	}
	var s seen
	switch {
	case c.do != nil:
		s = c.do(w, t, way)
	default:
		s = w.load(way, c.file, c.params)
	}
	if s.reported {
		return
	}
	verdict, why := c.judge(s, way)
	w.report(t, c, way, verdict, why)
}

// judge compares what was said with what must be.
func (c *causeCase) judge(s seen, way string) (verdict, why string) {
	want := c.code
	if way == "check" && c.check != "" && c.check != unasked {
		want = c.check
	}
	got := s.cause
	for i := range s.warnings {
		if got == nil || s.warnings[i].Code == want {
			got = &s.warnings[i]
		}
	}
	switch {
	case s.problem != "":
		return cellWrong, s.problem
	case got == nil:
		return cellWrong, "no cause at all"
	case got.Code != want:
		return cellWrong, fmt.Sprintf("%s (%s; %s)", got, strings.Join(got.Evidence, "; "), got.Next)
	}
	for _, word := range c.says {
		if !strings.Contains(got.Text, word) {
			return cellWrong, fmt.Sprintf("%q does not say %q", got, word)
		}
	}
	if strings.Contains(got.Text, "(unknown)") || got.Next == "" || len(got.Evidence) == 0 {
		return cellWrong, fmt.Sprintf("%q leaves something out: evidence %q, next %q", got, got.Evidence, got.Next)
	}
	return cellRight, got.String()
}

// ofResult reads what load --json or unload --json printed.
func ofResult(out []byte) seen {
	var r struct {
		Cause   *cause.Cause
		Actions []record.Record
		Result  string
		Reason  string // which the last line on standard error is made of
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return seen{problem: fmt.Sprintf("%v: %q", err, out)}
	}
	if r.Cause != nil && len(r.Actions) > 0 && r.Result == string(proof.Refused) && !strings.Contains(r.Reason, r.Cause.String()) {
		return seen{problem: fmt.Sprintf("the last line says %q, the cause %q", r.Reason, r.Cause)}
	}
	s := seen{cause: r.Cause}
	for _, a := range r.Actions {
		s.warnings = append(s.warnings, a.Warnings...)
	}
	return s
}

// ofVerdict reads what check --json printed: the last line is about what was asked for.
func ofVerdict(out []byte) seen {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var v cause.Verdict
	if err := json.Unmarshal(lines[len(lines)-1], &v); err != nil {
		return seen{problem: fmt.Sprintf("%v: %q", err, out)}
	}
	if v.Cause == nil && len(v.Warnings) == 0 {
		return seen{problem: fmt.Sprintf("check says %s, open: %q", v.Judgement, v.Open)}
	}
	return seen{cause: v.Cause, warnings: v.Warnings}
}

// ofActions takes the cause of what was tried: of the last action of that kind that
// has one.
func ofActions(actions []record.Record) seen {
	var s seen
	var all []string
	for _, a := range actions {
		all = append(all, fmt.Sprintf("%v %s %v %s", a.Kind, a.Module, a.Outcome, a.ErrnoName))
		if a.Cause != nil {
			s.cause = a.Cause
		}
		s.warnings = append(s.warnings, a.Warnings...)
	}
	if s.cause == nil && len(s.warnings) == 0 {
		s.problem = fmt.Sprintf("no cause among %q", all)
	}
	return s
}

func lacksModversions(w *world) string {
	if value, err := w.kernel.Config("CONFIG_MODVERSIONS"); err == nil && value == "y" {
		return ""
	}
	magic, err := w.kernel.Vermagic()
	switch {
	case err != nil:
		return err.Error()
	case strings.Contains(magic, "modversions"):
		return ""
	}
	return "it was built without CONFIG_MODVERSIONS"
}

func lacksStructSize(w *world) string {
	if w.kernel.AtLeast(6, 4) {
		return ""
	}
	return "kernels before 6.4 do not compare the size of struct module"
}

func lacksLivepatch(w *world) string {
	if _, err := os.Stat("/sys/kernel/livepatch"); err != nil {
		return "it was built without CONFIG_LIVEPATCH"
	}
	return ""
}

func hasLivepatch(w *world) string {
	if lacksLivepatch(w) == "" {
		return "it has livepatches"
	}
	return ""
}

func lacksTypes(w *world) string {
	value, err := w.kernel.Config("CONFIG_DEBUG_INFO_BTF_MODULES")
	if err != nil {
		return "whether it looks at the types of modules is not known here: " + err.Error()
	}
	if value != "y" {
		return "it does not look at the types of modules (from 5.11 on, CONFIG_DEBUG_INFO_BTF_MODULES)"
	}
	if value, err := w.kernel.Config("CONFIG_MODULE_ALLOW_BTF_MISMATCH"); err != nil || value == "y" {
		return "it takes modules whose types are not valid (CONFIG_MODULE_ALLOW_BTF_MISMATCH)"
	}
	return ""
}

func lacksSmallReserve(w *world) string {
	if reserve, err := w.kernel.PerCPUReserve(); err != nil || reserve > 8<<10 {
		return fmt.Sprintf("its reserve for per-CPU data has %d bytes, %v", reserve, err)
	}
	return ""
}

func lacksLSM(w *world) string {
	if strings.Contains(w.kernel.LSMs(), "bpf") {
		return ""
	}
	return "BPF is not among its security modules: " + w.kernel.LSMs()
}

func mustOpenKernel(t *testing.T) *kernel.Kernel {
	t.Helper()
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
