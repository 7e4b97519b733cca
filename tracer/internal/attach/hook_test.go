package attach

import (
	"strings"
	"testing"
)

// TestPrograms: the best program comes first, and a trampoline is never the only way.
func TestPrograms(t *testing.T) {
	for _, test := range []struct {
		hook          Type
		with, without string
	}{
		{Entry, "fentry_f kprobe_f", "kprobe_f"},
		{Exit, "fexit_f kretprobe_f", "kretprobe_f"},
		{Probe, "kprobe_f", "kprobe_f"},
		{ProbeReturn, "kretprobe_f", "kretprobe_f"},
		{Tracepoint, "tracepoint_f", "tracepoint_f"},
	} {
		h := Hook{Name: "f", Type: test.hook}
		if got := strings.Join(h.Programs(true), " "); got != test.with {
			t.Errorf("type %d with trampolines: %s, want %s", test.hook, got, test.with)
		}
		if got := strings.Join(h.Programs(false), " "); got != test.without {
			t.Errorf("type %d without: %s, want %s", test.hook, got, test.without)
		}
	}
}

// TestBackedUp: what a hook misses is not missing where all its backups are attached.
func TestBackedUp(t *testing.T) {
	for attached, want := range map[string]bool{"": false, "kprobe_a": false, "kprobe_a kprobe_b": true, "kretprobe_a kprobe_b": false} {
		told := &attachment{}
		at := &Attacher{config: Config{Hooks: []Hook{
			{Name: "a", Type: Probe}, {Name: "b", Type: Probe}, {Name: "a", Type: ProbeReturn},
			{Name: "told", Type: Tracepoint, Backups: []string{"a", "b"}},
		}}, hooks: &Hooks{attached: map[string]*attachment{"tracepoint_told": told}}}
		for _, program := range strings.Fields(attached) {
			at.hooks.attached[program] = &attachment{}
		}
		at.markBackedUp()
		if told.backedUp != want {
			t.Errorf("with %q: %t", attached, told.backedUp)
		}
	}
}
