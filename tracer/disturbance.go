package tracer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
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
// call; when a program is missing among those that probes share, or another one is there;
// and when a probe that shares an event was removed. What a missing program did not see is
// in [Loss] too. What raw tracepoints tell of a module (its load, its end, a request) is
// told all the time.
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
	return append(all, t.missingPrograms()...)
}

// switchedOff gives what the kernel side counted.
func (t *Tracer) switchedOff() []Disturbance {
	d := Disturbance{What: "kprobes", Why: "somebody switched off all kprobes (debugfs: kprobes/enabled)"}
	if err := t.maps[bpfMapSwitchedOff].Lookup(uint32(0), &d.Count); err != nil {
		d.Why = fmt.Sprintf("whether somebody switched them off cannot be read: %v", err)
	} else if d.Count == 0 {
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

// missingPrograms compares what the probes that share events go on as with what was put
// there, and their functions' numbers, and counts their probes.
func (t *Tracer) missingPrograms() (all []Disturbance) {
	say := func(what, format string, args ...any) {
		all = append(all, Disturbance{What: what, Why: fmt.Sprintf(format, args...)})
	}
	for _, name := range slices.Sorted(maps.Keys(t.attached)) {
		a := t.attached[name]
		if l, ok := a.link.(*sharedLink); ok {
			if left := l.event.left(); left < len(l.event.members) {
				say(a.target, "somebody removed %d of the %d probes that share the event %s", len(l.event.members)-left, len(l.event.members), l.event.name)
			}
			continue
		}
		if a.shared == nil {
			continue
		}
		var id uint32
		switch err := a.shared.programs.Lookup(a.number, &id); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			say(a.target, "somebody took its program out of the array of %s", strings.ReplaceAll(a.shared.dispatcher, "_", " "))
		case err != nil:
			say(a.target, "whether its program is in the array of %s cannot be read: %v", strings.ReplaceAll(a.shared.dispatcher, "_", " "), err)
		case id != a.id:
			say(a.target, "somebody put another program in its place (id %d, not %d)", id, a.id)
		}
	}
	return append(all, t.changedNumbers()...)
}

// changedNumbers tells functions that have lost their number.
func (t *Tracer) changedNumbers() (all []Disturbance) {
	if len(t.numbers) == 0 {
		return nil
	}
	left := maps.Clone(t.numbers)
	var address uint64
	var number uint32
	each := t.maps[bpfMapFunctions].Iterate()
	for each.Next(&address, &number) {
		if want, known := t.numbers[address]; known && want == number {
			delete(left, address)
		}
	}
	if err := each.Err(); err != nil {
		return []Disturbance{{What: "shared probes", Why: fmt.Sprintf("the numbers of their functions cannot be read: %v", err)}}
	}
	if len(left) > 0 {
		return []Disturbance{{What: "shared probes", Why: fmt.Sprintf("somebody changed the numbers of %d functions", len(left))}}
	}
	return nil
}

// left counts the event's probes that are there, in tracefs' list of them; all, where that
// cannot be read.
func (e *sharedEvent) left() int {
	for _, root := range tracefsRoots() {
		text, err := os.ReadFile(filepath.Join(root, "kprobe_events"))
		if err != nil {
			continue
		}
		return strings.Count(string(text), ":"+e.group+"/"+e.name+" ")
	}
	return len(e.members)
}
