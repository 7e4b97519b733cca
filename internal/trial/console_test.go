package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What real kernels printed: a NULL pointer in an init, a panic and a warning there, by the
// specimens crash and leaky.
func TestRecordedConsoles(t *testing.T) {
	for name, want := range map[string]Fault{
		"crash":   {Kind: Oops, Text: "BUG: kernel NULL pointer dereference, address: 0000000000000000", Function: "crash_init", Module: "crash"},
		"panic":   {Kind: Panic, Text: "Kernel panic - not syncing: leaky was told to panic", Function: "leaky_init", Module: "leaky"},
		"warning": {Kind: Warning, Function: "leaky_init", Module: "leaky"},
	} {
		for _, kernel := range []string{"6.1", "6.12", "7.3"} {
			text, err := os.ReadFile(filepath.Join("testdata/console", kernel+"-"+name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			c := ReadConsole(string(text))
			if len(c.Faults) != 1 {
				t.Errorf("%s on %s: %+v", name, kernel, c.Faults)
				continue
			}
			got := c.Faults[0]
			if got.Kind != want.Kind || got.Function != want.Function || got.Module != want.Module || got.Round != 1 || got.Step != StepLoad ||
				want.Text != "" && got.Text != want.Text || got.Offset == 0 {
				t.Errorf("%s on %s: %+v", name, kernel, got)
			}
			if len(c.Messages) == 0 || !strings.Contains(c.Messages[0].Text, "taints kernel") || c.Messages[0].Fault {
				t.Errorf("%s on %s: the first message is %+v", name, kernel, c.Messages)
			}
			for _, m := range c.Messages {
				if !m.Fault && (strings.Contains(m.Text, "RAX:") || strings.Contains(m.Text, "Call Trace")) {
					t.Errorf("%s on %s: %q is not a message", name, kernel, m.Text)
				}
			}
		}
	}
}

func TestReadConsole(t *testing.T) {
	mark := (&Event{Round: 2, Step: StepUnload, Target: "/trial/1/x.ko"}).Mark() + "\n"
	for text, want := range map[string]Fault{
		"BUG: unable to handle page fault for address: 1\nRIP: 0010:0x0\nCall Trace:\n <TASK>\n ? early+0x1/0x2 [x]\n late+0x10/0x20 [x]\n": {Kind: Oops, Function: "late", Offset: 0x10, Module: "x"},
		"Unable to handle kernel NULL pointer dereference at virtual address 0\npc : x_exit+0x8/0x40 [x]\n":                                 {Kind: Oops, Function: "x_exit", Offset: 8, Module: "x"},
		"[   12.5][  T99] kernel BUG at /build/x.c:9!\r\nRIP: 0010:x_exit+0x8/0x40 [x a1b2c3]\r\n":                                          {Kind: Oops, Function: "x_exit", Offset: 8, Module: "x"},
		"watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [insmod:99]\nRIP: 0010:x_exit+0x8/0x40 [x]\n":                                    {Kind: Hung, Function: "x_exit", Offset: 8, Module: "x"},
		"INFO: task rmmod:99 blocked for more than 120 seconds.\n":                                                                          {Kind: Hung},
		"Oops: general protection fault\nKernel panic - not syncing: Fatal exception\n":                                                     {Kind: Oops},
		"refcount_t: underflow; use-after-free.\n":                                                                                          {Kind: Warning},
	} {
		c := ReadConsole("before\n" + mark + text)
		if len(c.Faults) == 0 {
			t.Errorf("%q: nothing", text)
			continue
		}
		f := c.Faults[0]
		if f.Kind != want.Kind || f.Function != want.Function || f.Offset != want.Offset || f.Module != want.Module || f.Round != 2 || f.Step != StepUnload {
			t.Errorf("%q: %+v", text, f)
		}
		if c.Last.Round != 2 || c.Last.Step != StepUnload {
			t.Errorf("%q: the last step is %+v", text, c.Last)
		}
	}
	for _, text := range []string{"", "\n", "[", "kmodtrace-trial: {\n", "kmodtrace-trial: ", "x: all is well\n", strings.Repeat("a+0x1/0x2 [m]\n", 100)} {
		if c := ReadConsole(text); len(c.Faults) != 0 {
			t.Errorf("%q: %+v", text, c.Faults)
		}
	}
}
