package tracer

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Disturbance is something that keeps hooks from running, or did, although they were
// attached: somebody with the rights to do so did it while the [Tracer] was open.
type Disturbance struct {
	// What is disturbed: "kprobes", "ftrace", or the target of a hook.
	What string `json:"what"`
	// Why is what shows it, in words.
	Why string `json:"why"`
	// Count is how often it happened since Open, of what the kernel side counts: it only
	// grows, and what happened then is over, or not. Zero is a state, which is given for
	// as long as it lasts.
	Count uint64 `json:"count,omitempty"`
}

// String gives it in one line.
func (d Disturbance) String() string {
	if d.Count > 1 {
		return fmt.Sprintf("%s: %s, %d times", d.What, d.Why, d.Count)
	}
	return d.What + ": " + d.Why
}

// Disturbances asks whether the hooks can still run, and could all the time. It is cheap
// enough to be called once a second. Nil where nothing is known to have disturbed them.
// After Close it gives what it would have given then.
//
// It knows when somebody switches off all kprobes of the kernel, also for a moment between
// two calls; that ftrace is switched off, and with it most probes, at the moment of the
// call; and when a probe that shares an event was removed. The programs that probes share
// cannot be taken out or replaced: their arrays are frozen. What raw tracepoints tell of a
// module (its load, its end, a request) is told all the time.
func (t *Tracer) Disturbances() []Disturbance {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return slices.Clone(t.finalDisturbances)
	}
	return t.readDisturbances()
}

func (t *Tracer) readDisturbances() []Disturbance {
	all := t.switchedOff()
	all = append(all, switchedOffNow()...)
	return append(all, t.missingProbes()...)
}

// switchedOff gives what the kernel side counted.
func (t *Tracer) switchedOff() []Disturbance {
	d := Disturbance{What: "kprobes", Why: "somebody switched off all kprobes (debugfs: kprobes/enabled)"}
	counts, err := readCounters[uint64](t.hooks.Map(bpfMapSwitchedOff))
	if err != nil {
		d.Why = fmt.Sprintf("whether they are switched off cannot be read: %v", err)
		return []Disturbance{d}
	}
	if d.Count = counts[0]; d.Count == 0 {
		return nil
	}
	return []Disturbance{d}
}

// switchedOffNow reads the switches. A file that is not there says nothing: debugfs need
// not be mounted, and the kernel side sees that somebody writes to it.
func switchedOffNow() (all []Disturbance) {
	for _, s := range []struct{ what, file, why string }{
		{"kprobes", "/sys/kernel/debug/kprobes/enabled", "all kprobes are switched off (debugfs: kprobes/enabled is 0)"},
		{"ftrace", "/proc/sys/kernel/ftrace_enabled", "ftrace is switched off, and with it probes at the beginning of functions (sysctl kernel.ftrace_enabled is 0)"},
	} {
		text, err := os.ReadFile(s.file)
		if err == nil && strings.TrimSpace(string(text)) == "0" {
			all = append(all, Disturbance{What: s.what, Why: s.why})
		}
	}
	return all
}

// missingProbes counts the probes of those that share events. What these go on as is
// frozen: see [Tracer.freeze].
func (t *Tracer) missingProbes() (all []Disturbance) {
	for _, r := range t.hooks.Removals() {
		all = append(all, Disturbance{What: r.Target, Why: fmt.Sprintf(
			"another process removed %d of the %d probes that share the event %s", r.Probes-r.Left, r.Probes, r.Event)})
	}
	return all
}
