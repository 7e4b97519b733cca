package oops

import (
	"strings"
	"testing"
	"time"
)

const (
	header = "CPU: 1 PID: 155 Comm: insmod Not tainted 6.1.0 #1\nHardware name: QEMU\n"
	trace  = "Call Trace:\n <TASK>\n dump_stack_lvl+0x5d/0x80\n x_check+0x10/0x20 [x]\n ? x_guess+0x1/0x2 [y]\n x_init+0x30/0x40 [x 0123456789abcdef]\n do_one_initcall+0x59/0x220\n </TASK>\n"
)

// TestKinds has texts that the lab's kernels do not print: they are built without the checkers.
func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		text, place string
		kind        Kind
		rest        string
	}{
		"KASAN": {"before\n" + strings.Repeat("=", 66) + "\nBUG: KASAN: slab-out-of-bounds in x_write+0xa8/0xbc [x]\nWrite of size 1 at addr ffff8801f44ec37b by task insmod/155\n\n" + header + trace +
			"\nAllocated by task 155:\n kasan_save_stack+0x1e/0x40\n x_init+0x20/0x40 [x]\n\nThe buggy address belongs to the object at ffff8801f44ec300\n which belongs to the cache kmalloc-128 of size 128\n" +
			"Memory state around the buggy address:\n ffff8801f44ec200: fc fc fc\n>ffff8801f44ec300: 00 00 03\n                                                                ^\n" + strings.Repeat("=", 66) + "\nafter\n", "x_write+0xa8 [x]", KASAN, "before\nafter"},
		"UBSAN before 6.6": {strings.Repeat("=", 80) + "\nUBSAN: array-index-out-of-bounds in /src/x.c:66:7\nindex 7 is out of range for type 'int [4]'\n" + header + trace + strings.Repeat("=", 80) + "\nafter\n", "x_check+0x10 [x], x.c:66", UBSAN, "after"},
		"UBSAN":            {"------------[ cut here ]------------\nUBSAN: shift-out-of-bounds in x.c:66:7\nshift exponent 64 is too large\n" + header + trace + "---[ end trace ]---\nafter\n", "x_check+0x10 [x], x.c:66", UBSAN, "after"},
		"sleep": {"BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580\nin_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 155, name: insmod\npreempt_count: 201, expected: 0\nRCU nest depth: 0, expected: 0\n1 lock held by insmod/155:\n #0: ffffffff8 (x_lock){+.+.}-{2:2}, at: x_init+0x10/0x20 [x]\n" + header + trace + "after\n",
			"x_check+0x10 [x], mutex.c:580", AtomicSleep, "after"},
		"lockdep": {"\n" + strings.Repeat("=", 54) + "\nWARNING: possible circular locking dependency detected\n6.1.0 #1 Not tainted\n" + strings.Repeat("-", 54) + "\ninsmod/155 is trying to acquire lock:\nffff (a){+.+.}-{3:3}, at: x_init+0x1/0x2 [x]\n\nbut task is already holding lock:\nffff (b)\n\nwhich lock already depends on the new lock.\n\nother info that might help us debug this:\n\n       CPU0                    CPU1\n       ----                    ----\n  lock(b);\n\n *** DEADLOCK ***\n\n1 lock held by insmod/155:\n #0: ffff (b)\n\nstack backtrace:\n" + header + trace + "after\n",
			"x_check+0x10 [x]", Lockdep, "after"},
		"hung task":             {"INFO: task insmod:155 blocked for more than 120 seconds.\n      Not tainted 6.1.0 #1\n\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.\ntask:insmod          state:D stack:0     pid:155   ppid:1\nCall Trace:\n <TASK>\n __schedule+0x1/0x20\n schedule+0x5/0x20\n x_wait+0x10/0x20 [x]\n </TASK>\nafter\n", "x_wait+0x10 [x]", HungTask, "after"},
		"allocation":            {"insmod: vmalloc error: size 2147487744, failed to allocate pages, mode:0xcc2(GFP_KERNEL|__GFP_HIGHMEM), nodemask=(null)\n" + header + trace + "Mem-Info:\nactive_anon:12 inactive_anon:0\n active_file:1\nNode 0 active_anon:48kB\nNode 0 DMA free:100kB\nlowmem_reserve[]: 0 1 2\n900 total pagecache pages\n0 pages in swap cache\n131072 pages RAM\nx: after\n", "x_check+0x10 [x]", NoAllocation, "x: after"},
		"arm64":                 {"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\nMem abort info:\n  ESR = 0x0000000096000045\n  EC = 0x25: DABT (current EL), IL = 32 bits\n  SET = 0, FnV = 0\nData abort info:\n  ISV = 0, ISS = 0x45\nuser pgtable: 4k pages, 48-bit VAs, pgdp=0000000102d9d000\n[0000000000000000] pgd=0000000000000000, p4d=0000000000000000\nInternal error: Oops: 0000000096000045 [#1] SMP\nModules linked in: x(O+)\nCPU: 1 UID: 0 PID: 155 Comm: insmod Tainted: G           O       6.12.0 #1\nHardware name: linux,dummy-virt (DT)\npstate: 60400005 (nZCv daif +PAN -UAO)\npc : x_write+0x24/0x40 [x]\nlr : x_init+0x1c/0x1000 [x]\nsp : ffff80008291b9d0\nx29: ffff80008291b9d0 x28: 0000000000000000\nx2 : 0000000000000000 x1 : 0\nCall trace:\n x_write+0x24/0x40 [x] (P)\n x_init+0x1c/0x1000 [x]\n do_one_initcall+0x60/0x2a0\nCode: d2800000 (b900001f)\n---[ end trace 0000000000000000 ]---\nafter\n", "x_write+0x24 [x]", Oops, "after"},
		"a stack outside":       {"BUG: unable to handle page fault for address: 1\nOops: 0000 [#1]\n" + header + "RIP: 0010:other+0x1/0x2 [tripper]\nCall Trace:\n <TASK>\n behind+0x20/0x20 [x]\n notify+0x1/0x9\n </TASK>\n---[ end trace 0000000000000000 ]---\nRIP: 0010:first+0x1/0x2 [x]\nRAX: 0\nnote: insmod[155] exited with irqs disabled\nafter", "other+0x1 [tripper]", Oops, "after"},
		"lines of others":       {"------------[ cut here ]------------\nx: broken\nWARNING: CPU: 1 PID: 155 at x.c:7 x_check+0x10/0x20 [x]\nusb 1-1: new device\nModules linked in: x(O+) y\n" + header + "RIP: 0010:x_check+0x10/0x20 [x]\nusb 1-1: gone\n" + trace + "---[ end trace 0000000000000000 ]---\nafter", "x_check+0x10 [x], x.c:7", Warning, "usb 1-1: gone\nafter"},
		"without its beginning": {"Code: 00\nRSP: 0\nCall Trace:\n <TASK>\n x_init+0x30/0x40 [x]\n </TASK>\nafter", "x_init+0x30 [x]", Backtrace, "Code: 00\nRSP: 0\nafter"},
		"without its end":       {"------------[ cut here ]------------\nWARNING: x.c:7 at x_check+0x10/0x20 [x], CPU#1: insmod/155\n", "x_check+0x10 [x], x.c:7", Warning, ""},
		"without its headline":  {"------------[ cut here ]------------\nx: broken\n" + header + "RIP: 0010:x_check+0x10/0x20 [x]\n" + trace + "---[ end trace 0000000000000000 ]---\nafter", "x_check+0x10 [x]", Backtrace, "after"},
	} {
		t.Run(name, func(t *testing.T) {
			parts := Split(strings.Split(strings.TrimSuffix(c.text, "\n"), "\n"))
			if len(parts.Reports) != 1 {
				t.Fatalf("%d reports: %+v", len(parts.Reports), parts)
			}
			r := parts.Reports[0]
			if r.Kind != c.kind || r.Where() != c.place {
				t.Errorf("%s in %q: %+v", r.Kind, r.Where(), r)
			}
			if cut := name == "without its end" || name == "without its headline" && r.Incomplete; r.Incomplete != cut {
				t.Errorf("incomplete: %v", r.Incomplete)
			}
			if r.Comm != "insmod" && name != "without its beginning" || r.Comm != "" && r.PID != 155 {
				t.Errorf("task %q", r.Task())
			}
			for _, f := range r.Callers() {
				if f.Function == "x_guess" || f.Function == "behind" || f.Function == "first" {
					t.Errorf("%s is not certain", &f)
				}
			}
			var rest []string
			for _, m := range parts.Messages {
				if m.Text != "" {
					rest = append(rest, m.Text)
				}
			}
			if got := strings.Join(rest, "\n"); got != c.rest {
				t.Errorf("left: %q, want %q", got, c.rest)
			}
		})
	}
}

// TestPlainMessages: what a driver says is no report, however it begins.
func TestPlainMessages(t *testing.T) {
	for _, text := range []string{
		"", "\n", "WARNING: x is old", "BUG: x: no such device", "x: loading out-of-tree module taints kernel.", "INFO: x: ready\nINFO: x: done\nx: and more",
		"refcount_t: what is that?\nnothing\nnothing\nnothing\nnothing", "------------[ cut here ]------------", "------------[ cut here ]------------\n" + strings.Repeat("x\n", 50),
		strings.Repeat("=", 70) + "\nx: a title\n" + strings.Repeat("=", 70), " a+0x1/0x2 [m]", "RIP: 0010:x+0x1/0x2", "\xff\xfe", "[", strings.Repeat("x", 1<<16),
	} {
		if p := Split([]string{text}); len(p.Reports) != 0 {
			t.Errorf("%.60q: %+v", text, p.Reports)
		}
		if p := Split(strings.Split(text, "\n")); len(p.Reports) != 0 || len(p.Messages) != len(strings.Split(text, "\n")) {
			t.Errorf("%.60q line by line: %+v", text, p)
		}
	}
}

// TestTwo: one report ends where the next one begins, and neither takes the other's place.
func TestTwo(t *testing.T) {
	text := "------------[ cut here ]------------\nWARNING: CPU: 0 PID: 1 at a.c:1 a+0x1/0x2 [a]\nModules linked in: a\n" +
		"------------[ cut here ]------------\nWARNING: CPU: 1 PID: 2 at b.c:2 b+0x3/0x4 [b]\nCPU: 1 PID: 2 Comm: two Not tainted 6\n" + trace + "---[ end trace 0 ]---\n" +
		"CPU: 1 PID: 2 Comm: two Not tainted 6\n" + trace + "CPU: 1 PID: 2 Comm: two Not tainted 6\n" + trace +
		"BUG: kernel NULL pointer dereference, address: 0\nOops: 0002 [#1]\nCPU: 0 PID: 9 Comm: nine Not tainted 6\nRIP: 0010:c+0x5/0x6 [c]\nKernel panic - not syncing: Fatal exception\n---[ end Kernel panic - not syncing: Fatal exception ]---\n"
	var got []string
	for _, r := range Split([]string{text}).Reports {
		got = append(got, string(r.Kind)+" "+r.Where()+" "+r.Task())
	}
	want := "warning a+0x1 [a], a.c:1 |warning b+0x3 [b], b.c:2 two[2]|backtrace x_check+0x10 [x] two[2]|backtrace x_check+0x10 [x] two[2]|oops c+0x5 [c] nine[9]|panic c+0x5 [c] "
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

func TestClean(t *testing.T) {
	for line, want := range map[string][2]string{
		"[    4.215722] text":               {"text", ""},
		"<6>[    4.215722][  T155]  indent": {" indent", "T155"},
		"[   12.5][    C0] text":            {"text", "C0"},
		" <TASK>":                           {" <TASK>", ""},
		"[x] text":                          {"[x] text", ""},
		"":                                  {"", ""},
		"[    4.215722]":                    {"", ""},
	} {
		if text, caller := Clean(line); text != want[0] || caller != want[1] {
			t.Errorf("%q: %q by %q", line, text, caller)
		}
	}
}

// TestBounds: a module that prints without end takes a bounded memory and time.
func TestBounds(t *testing.T) {
	began := time.Now()
	text := header + "Call Trace:\n" + strings.Repeat(" x_init+0x30/0x40 [x]\n", 10_000)
	r := Split([]string{text}).Reports[0]
	if len(r.Frames) > maxFrames || r.FramesLeftOut < 9_000 {
		t.Errorf("%d frames and %d left out", len(r.Frames), r.FramesLeftOut)
	}
	long := "------------[ cut here ]------------\n" + strings.Repeat("x", 1<<20) + "\nWARNING: x.c:7 at x_check+0x10/0x20 [x], CPU#1: insmod/155\n"
	if r := Split([]string{long}).Reports[0]; len(r.Message) > maxText+3 {
		t.Errorf("a message of %d bytes", len(r.Message))
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("------------[ cut here ]------------\nx\nWARNING: CPU: 1 PID: 155 at x.c:7 x_check+0x10/0x20 [x]\n" + header + trace + "---[ end trace 0 ]---\nafter")
	f.Add("BUG: unable to handle page fault\nOops: 0\nRIP: 0010:x+0x1/0x2\nKernel panic - not syncing: x")
	f.Add(strings.Repeat("=", 66) + "\nBUG: KASAN: x in y+0x1/0x2\n" + strings.Repeat("=", 66))
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		parts := Split(lines)
		n := len(parts.Messages)
		for i, r := range parts.Reports {
			n += r.Lines
			if r.Kind == "" || r.Lines < 1 || r.PID < 0 || len(r.Frames) > maxFrames || parts.From[i] >= len(lines) {
				t.Errorf("%+v from %d", r, parts.From[i])
			}
			_, _ = r.Summary(), r.CalledBy()
		}
		if n != len(lines) {
			t.Errorf("%d lines of %d", n, len(lines))
		}
	})
}
