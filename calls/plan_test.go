package calls

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// innerImage is the specimen inner_bare as built for 6.12 on amd64: it has no debug information.
func innerImage(t testing.TB) []byte {
	t.Helper()
	image, err := os.ReadFile("testdata/inner.ko")
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestPlan: which functions and calls are probed, the nearest to the init first, and which are not.
func TestPlan(t *testing.T) {
	p, err := NewPlan("inner", innerImage(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	names, sites := planned(p)
	for _, want := range []string{"inner_init", "clocks", "deep", "reset_chip", "read_register", "inner_probe", "hw_reset", "set_clock.constprop.0"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %q", want, names)
		}
	}
	if names[0] != "inner_init" || p.root != 0 {
		t.Errorf("the first of %q is not the init", names)
	}
	for _, want := range []string{"take_number: register_chrdev_region", "driver: __platform_driver_register", "allocate: __vmalloc_noprof", "allocate: vfree", "quick_part: jump usleep_range_state"} {
		if !slices.Contains(sites, want) {
			t.Errorf("no %s in %q", want, sites)
		}
	}
	for _, no := range []string{"strcmp", "__fentry__", "__stack_chk_fail", "__x86_return_thunk", "__x86_indirect_thunk_rax", "printk"} {
		if text := strings.Join(sites, "\n"); strings.Contains(text, no) {
			t.Errorf("%s is probed", no)
		}
	}
	if slices.Contains(names, "inner_exit") || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "__pfx_") }) {
		t.Errorf("%q", names)
	}
	exit, err := NewPlan("inner", innerImage(t), &PlanOptions{Part: Exit})
	if err != nil {
		t.Fatal(err)
	}
	exits, _ := planned(exit)
	if exits[0] != "drain_queue" || slices.Contains(exits, "inner_init") || !slices.ContainsFunc(exit.Unseen, func(u Unseen) bool { return u.Function == "inner_exit" }) {
		t.Errorf("exit: %q, unseen %v", exits, exit.Unseen)
	}
}

func planned(p *Plan) (names, sites []string) {
	for i := range p.functions {
		names = append(names, p.functions[i].name)
	}
	for i := range p.sites {
		jump := ""
		if p.sites[i].tail {
			jump = "jump "
		}
		sites = append(sites, fmt.Sprintf("%s: %s%s", p.functions[p.sites[i].function].name, jump, p.sites[i].callee))
	}
	return names, sites
}

// TestPlanBound: a bounded choice, and what it leaves out is counted.
func TestPlanBound(t *testing.T) {
	whole, err := NewPlan("inner", innerImage(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for most := 2; most < whole.Probes(); most++ {
		p, err := NewPlan("inner", innerImage(t), &PlanOptions{MaxProbes: most})
		if err != nil {
			t.Fatal(err)
		}
		if p.Probes() > most || p.LeftOut == 0 || p.functions[0].name != "inner_init" {
			t.Errorf("%d probes of at most %d, %d left out, first %s", p.Probes(), most, p.LeftOut, p.functions[0].name)
		}
	}
	if whole.LeftOut != 0 {
		t.Errorf("%d left out", whole.LeftOut)
	}
}

// TestPlanHostile: a file that is not a module, has no symbols or is damaged gives an error or a plan, and no
// panic; whatever its names are, a definition is one line.
func TestPlanHostile(t *testing.T) {
	image := innerImage(t)
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("text"), "header": image[:64], "half": image[:len(image)/2], "zeros": make([]byte, 1<<16),
		"no functions": koimage.Module{Info: []string{"name=x"}}.Bytes(),
	} {
		if p, err := NewPlan("x", data, nil); err == nil {
			t.Errorf("%s: a plan with %d probes", name, p.Probes())
		}
	}
	for i := 0; i < len(image); i += 211 {
		for _, value := range []byte{0, 0xff, '\n', ' '} {
			damaged := bytes.Clone(image)
			damaged[i] = value
			p, err := NewPlan("inner", damaged, nil)
			if err != nil {
				continue
			}
			for _, probe := range p.probes("g", "amd64") {
				if strings.Count(probe.text, "\n") > 0 || strings.Count(probe.text, " ") > 2 {
					t.Fatalf("byte %d as %#x: %q", i, value, probe.text)
				}
			}
		}
	}
}

// TestPlanStripped: without symbols nothing can be probed, and that is the error.
func TestPlanStripped(t *testing.T) {
	image := bytes.Clone(innerImage(t))
	// The table of symbols becomes one of something else.
	stripped := bytes.ReplaceAll(image, []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	if _, err := NewPlan("inner", stripped, nil); !errors.Is(err, ErrNoSymbols) {
		t.Errorf("%v, want %v", err, ErrNoSymbols)
	}
}

// TestProbes: definitions as the kernel reads them.
func TestProbes(t *testing.T) {
	p := scriptedPlan()
	p.sites[0].offset, p.sites[0].after = 26, 31
	p.sites[3].offset = 9
	var got []string
	for _, probe := range p.probes("g", "arm64") {
		got = append(got, probe.text)
	}
	for _, want := range []string{"r64:g/r0 x:init ret=$retval", "p:g/e0 x:init", "p:g/d0 x:init+31 ret=%x0", "p:g/c0 x:init+26", "p:g/j3 x:probe+9"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// TestInnerLines: what the tests on kernels expect of places stands there in the specimen's source.
func TestInnerLines(t *testing.T) {
	source, err := os.ReadFile("../internal/lab/specimens/inner.c")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(source), "\n")
	for n, want := range map[int]string{
		30: "read_register(void)", 38: "read_register()", 56: "hw_reset(", 64: "hw_reset(", 94: "platform_create_bundle(", 103: "__vmalloc(", 116: "register_chrdev_region(",
		126: "register_filesystem(", 140: "msleep(400)", 155: "set_clock(", 175: "rust_probe(", 183: "rust_probe(", 203: "tolerated(", 235: "msleep(exit_ms)",
	} {
		if !strings.Contains(lines[n-1], want) {
			t.Errorf("line %d is %q, want %s", n, lines[n-1], want)
		}
	}
}
