package calls

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// scriptedPlan has the functions init (0), probe (1), reset (2), note (3, void), odd (4, bool), dark (5, of unknown
// type), and in init the calls register (0), alloc (1) and free (2, void); in probe the jump power (3).
func scriptedPlan() *Plan {
	f := func(name string, t Type) function { return function{name: name, info: info{Returns: t}} }
	return &Plan{
		Module:    "x",
		functions: []function{f("init", Int), f("probe", Int), f("reset", Int), f("note", Void), f("odd", Bool), f("dark", Unknown)},
		sites: []site{
			{callee: "register", returns: Int}, {callee: "alloc", returns: Pointer}, {callee: "free", returns: Void},
			{callee: "power", function: 1, returns: Int, tail: true},
		},
	}
}

// TestTree: how calls are nested, and which error is the first.
func TestTree(t *testing.T) {
	for name, c := range map[string]struct{ events, tree, path, swallowed string }{
		"none":   {"", "", "", ""},
		"nested": {"e0 e2 r2=-5 r0=-5", "init=-5(reset=-5)", "init reset", ""},
		"a driver's probe, of which the core says nothing": {
			"e0 c0 e1 e2 r2=-110 r1=-110 d0=0 r0=0", "init=0(register=0(probe=-110(reset=-110)))", "", "init register probe reset",
		},
		"a driver's probe, and another error for it": {
			"e0 c0 e1 e2 r2=-110 r1=-110 d0=-19 r0=-19", "init=-19(register=-19(probe=-110(reset=-110)))", "init register probe* reset", "",
		},
		"an allocation":                       {"e0 c1 d1=0 c2 d2=7 r0=-12", "init=-12(alloc=0 free=7)", "init alloc*", ""},
		"an expected error, then one's own":   {"e0 e2 r2=-5 c0 d0=0 r0=-22", "init=-22(reset=-5 register=0)", "init", ""},
		"what returns nothing, or a truth":    {"e0 e2 r2=-5 e3 r3=-22 e4 r4=-22 r0=-22", "init=-22(reset=-5 note=-22 odd=-22)", "init", ""},
		"what is not known":                   {"e0 e5 e2 r2=-5 r5=-5 r0=-5", "init=-5(dark=-5(reset=-5))", "init dark? reset", ""},
		"the second of two":                   {"e0 e2 r2=-5 e2 r2=-5 r0=-5", "init=-5(reset=-5 reset=-5)", "init reset", ""},
		"a jump":                              {"e0 c0 e1 j3 r1=-6 d0=-6 r0=-6", "init=-6(register=-6(probe=-6(power=-6)))", "init register probe power", ""},
		"code after a call, reached without":  {"e0 d0=-5 e2 d0=-5 r2=0 r0=0", "init=0(reset=0)", "", ""},
		"a missed return":                     {"e0 e2 c0 d0=0 r0=0", "init=0(reset=! register=0)", "", ""},
		"a missed return, and one of outside": {"e0 c0 e1 e2 d0=-5 r0=-5", "init=-5(register=-5(probe=!(reset=!)))", "init register", ""},
		"it hangs":                            {"e0 c0 e1", "init=!(register=!(probe=!))", "", ""},
		"it calls itself":                     {"e0 c0 e0 d0=-5 r0=0 d0=-6 r0=-6", "init=-6(register=-6(init=0))", "init register", ""},
		"a return without its beginning":      {"r2=-5 e0 r0=0", "init=0", "", ""},
		"two threads":                         {"e0 @2 e1 @1 e2 r2=0 @2 r1=-5 @1 r0=0", "init=0(reset=0) | probe=-5", "", "probe"},
		"another thread first":                {"@9 e1 r1=0 @1 e0 e2 r2=-5 r0=-5", "init=-5(reset=-5) | probe=0", "init reset", ""},
		"of another plan":                     {"e77 c99 e0 r0=0 d88=1", "init=0", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := scriptedPlan().Report(scripted(t, c.events), 0)
			var threads []string
			for _, thread := range r.Threads {
				if text := treeText(thread.Calls); text != "" {
					threads = append(threads, text)
				}
			}
			if got := strings.Join(threads, " | "); got != c.tree {
				t.Errorf("tree %s, want %s", got, c.tree)
			}
			if got := pathText(r.Path); got != c.path {
				t.Errorf("path %s, want %s", got, c.path)
			}
			var swallowed []string
			for _, path := range r.Swallowed {
				swallowed = append(swallowed, pathText(path))
			}
			if got := strings.Join(swallowed, "; "); got != c.swallowed {
				t.Errorf("swallowed %s, want %s", got, c.swallowed)
			}
		})
	}
}

func treeText(list []*Call) string {
	var words []string
	for _, c := range list {
		word := c.Function + "=!"
		if c.Returned {
			word = fmt.Sprintf("%s=%d", c.Function, int64(c.value))
		}
		if len(c.Calls) > 0 {
			word += "(" + treeText(c.Calls) + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// pathText marks what is converted by *, and of what the type is not known by ?.
func pathText(path []Step) string {
	var words []string
	for i := range path {
		word := path[i].Function
		if path[i].Converted {
			word += "*"
		}
		if path[i].PossibleErrno != 0 {
			word += "?"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestTimes: a call's own time is without those inside it.
func TestTimes(t *testing.T) {
	r := scriptedPlan().Report(scripted(t, "e0 e2 r2=0 c0 d0=-16 r0=-16"), 1)
	init := r.Threads[0].Calls[0]
	if init.Took.Microseconds() != 5 || init.OwnTime.Microseconds() != 3 || r.CallCost.Microseconds() != 2 || init.Errno != unix.EBUSY {
		t.Errorf("%+v, cost %v", init, r.CallCost)
	}
}
