package trial

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The forms are those of 5.10 (alloc_calls), 6.1 and 6.12 (alloc_traces, with the stack).
func TestSlabAllocations(t *testing.T) {
	in := areas{
		{Module: "x", Section: ".text", Address: 0xffffffffc0271000, Size: 0x100},
		{Module: "x", Section: ".init.text", Address: 0xffffffffc0280000, Size: 0x100},
		{Module: "y", Address: 0xffffffffc0300000, Size: 0x1000},
	}
	for name, c := range map[string]struct {
		pool, text string
		want       []Allocation
	}{
		"direct": {"kmalloc-1k", "      3 0xffffffffc0271020 waste=72/24 age=1/2/3 pid=1 cpus=0\n        0xffffffffc0271020\n        do_one_initcall+0x40/0x2e0\n\n",
			[]Allocation{{Pool: "kmalloc-1k", Count: 3, Bytes: 3072, Module: "x", Section: ".text", Offset: 0x20}}},
		"by another": {"kmalloc-64", "      2 kstrdup+0x30/0x60 age=1/2/3 pid=1 cpus=0\n        kstrdup+0x30/0x60\n        0xffffffffc0280010\n        0xffffffffc0271020\n\n",
			[]Allocation{{Pool: "kmalloc-64", Count: 2, Bytes: 128, Module: "x", Section: ".init.text", Offset: 0x10}}},
		"5.10": {"dentry", "     12 0xffffffffc0300abc age=9 pid=1 cpus=0\n     40 d_alloc+0x1/0x2 age=9\n",
			[]Allocation{{Pool: "dentry", Count: 12, Module: "y", Offset: 0xabc}}},
		"others":  {"kmalloc-8", "   400 kprobe_add+0x6c/0xf0 age=1\n        kprobe_add+0x6c/0xf0\n     1 0xffffffffc0999999 age=1\n", nil},
		"nothing": {"kmalloc-8", "No data\n", nil},
		"garbage": {"kmalloc-8", "\x00 0x\n 99999999999999999999 0xffffffffc0271020\n1 0xzz\n", nil},
	} {
		if diff := cmp.Diff(c.want, slabAllocations(strings.NewReader(c.text), c.pool, in)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestVmallocs(t *testing.T) {
	in := areas{{Module: "x", Section: ".text", Address: 0xffffffffc0271000, Size: 0x100}}
	text := `0xff6e056c80000000-0xff6e056c80005000   20480 irq_init_percpu_irqstack+0xf8/0x130 vmap
0xff6e056c80005000-0xff6e056c80007000    8192 0xffffffffc0271014 pages=1 vmalloc N0=1
0xff6e056c80005000-0xff6e056c80007000    8192 0xffffffffc0271014 pages=1 vmalloc N0=1
0xff6e056c80005000-0xff6e056c80007000 unpurged vm_area
`
	want := []Allocation{{Pool: "vmalloc", Count: 2, Bytes: 16384, Module: "x", Section: ".text", Offset: 0x14}}
	if diff := cmp.Diff(want, summed(vmallocs(strings.NewReader(text), in))); diff != "" {
		t.Error(diff)
	}
}

func TestSlabSize(t *testing.T) {
	for pool, want := range map[string]uint64{"kmalloc-1k": 1024, "kmalloc-96": 96, "kmalloc-cg-8k": 8192, "dentry": 0, "kmalloc-": 0, "": 0, "ext4-64": 0} {
		if got := slabSize(pool); got != want {
			t.Errorf("%s: %d, want %d", pool, got, want)
		}
	}
}

func TestSince(t *testing.T) {
	before := snapshot{"/proc": true, "/proc/old": true, "/proc/devices: 1 mem": true}
	now := snapshot{"/proc": true, "/proc/old": true, "/proc/devices: 1 mem": true,
		"/proc/new": true, "/proc/new/below": true, "/proc/new/below/that": true, "/proc/devices: 240 x": true, "kernel thread x": true}
	want := []string{"/proc/devices: 240 x", "/proc/new", "kernel thread x"}
	if diff := cmp.Diff(want, now.since(before)); diff != "" {
		t.Error(diff)
	}
}
