package tracer

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
)

// Loss counts what a [Tracer] could not tell. All zero means that every event of
// every hook was delivered, as far as the kernel keeps count.
type Loss struct {
	// Events had no room in the ring.
	Events uint64 `json:"events"`
	// Unprivileged counts those of Events which were of threads without CAP_SYS_MODULE in
	// the first user namespace: these may fill half of the ring, and never keep an event
	// of a thread that may load modules out of it.
	Unprivileged uint64 `json:"events_unprivileged,omitempty"`
	// Untracked attempts and requests found no room among those in flight: such an attempt
	// has no stages and no messages, and such a request is told without its end, or not
	// at all where no helper came of it.
	Untracked uint64 `json:"untracked"`
	// Missed counts the times that a probe did not run although its function
	// did: recursion (kernels from 5.12 count it), or a kretprobe without a free
	// slot; of system calls before 5.14 those are counted up to two seconds late, by who
	// iterates over actions. Those of a hook that another one backs up are left out. MissedBy
	// tells which, by target. Where the kernel skipped a program that all entries or
	// all returns share, that is "shared entries" or "shared returns"; a probe of these
	// that somebody removed counts once, and a run that found no program counts for its
	// target.
	Missed   uint64            `json:"missed"`
	MissedBy map[string]uint64 `json:"missed_by,omitempty"`
	// Dropped counts unfinished actions given up for want of room.
	Dropped uint64 `json:"dropped"`
}

// Any tells whether anything was lost.
func (l Loss) Any() bool {
	return l.Events != 0 || l.Untracked != 0 || l.Missed != 0 || l.Dropped != 0
}

// Loss reads the counters as they are now.
func (t *Tracer) Loss() (Loss, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.final, nil
	}
	return t.readLoss()
}

func (t *Tracer) readLoss() (Loss, error) {
	l := Loss{Dropped: t.dropped.Load()}
	c, err := t.losses()
	if err != nil {
		return l, err
	}
	l.Events, l.Unprivileged, l.Untracked = c.Lost, c.Limited, c.Untracked
	absent := t.absent
	if c.Absent != t.absences {
		if absent, err = t.readAbsent(); err != nil {
			return l, err
		}
	}
	inexact := make(map[string]bool)
	for _, m := range t.hooks.Misses() {
		switch {
		case faultsCount(m.Target):
			inexact[m.Target] = true
		case !m.BackedUp:
			l.miss(m.Target, m.Count+absent[m.Program]-t.absent[m.Program])
		}
		if m.Removed > 0 {
			l.miss(m.Target+" that somebody removed", m.Removed)
		}
	}
	for target := range inexact {
		l.miss(target, t.ends.of(target))
	}
	return l, nil
}

// faultsCount tells whether the kernel counts something else than misses for a function. Before 5.14 it
// counts each page fault in a probe's handler as a miss (kprobe_fault_handler; gone with commit
// ec6aba3d2be1), and the programs of system calls read the caller's memory, which anybody may leave away.
// There the ends that were missed are counted instead: no beginning is, for a probe is skipped only inside
// the handler of another one, where no system call begins.
func faultsCount(target string) bool {
	if !strings.HasPrefix(target, "__") || !strings.Contains(target, "_sys_") {
		return false
	}
	v, err := runningVersion()
	return err == nil && v.less(version{5, 14})
}

// missedEnds counts the system calls whose return was not seen, by the kernel's function for it without
// the architecture's prefix.
type missedEnds struct {
	mu    sync.Mutex
	count map[string]uint64
}

// function names what the kernel calls a system call's function, apart from x64 and the like: the 32-bit
// table of x86 has functions of its own.
func (c *Enter) function() string {
	if c.Compat && runtime.GOARCH == "amd64" {
		return "__ia32_sys_" + c.Call.String()
	}
	return c.Call.String()
}

func (m *missedEnds) add(a *Action) {
	if !a.EndLost || a.Call == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == nil {
		m.count = make(map[string]uint64)
	}
	m.count[a.Call.function()]++
}

// of counts those of a function of the kernel.
func (m *missedEnds) of(target string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.HasPrefix(target, "__ia32_") {
		return m.count[target]
	}
	_, call, _ := strings.Cut(target, "_sys_")
	return m.count[call]
}

// losses sums the counters of all processors.
func (t *Tracer) losses() (sum bpfLoss, err error) {
	perCPU, err := readCounters[bpfLoss](t.hooks.Map(bpfMapLosses))
	if err != nil {
		return sum, fmt.Errorf("read loss counters: %w", err)
	}
	for _, c := range perCPU {
		sum.Lost += c.Lost
		sum.Limited += c.Limited
		sum.Untracked += c.Untracked
		sum.Absent += c.Absent
	}
	return sum, nil
}

// readAbsent counts, by the program's name, how often a probe that shares an event found no
// program to go on as. Before all are attached that is as it should be. It is not read
// without need: on a kernel that preempts itself a probe is skipped, and counted as
// missed, that runs while a look-up of ours is preempted (bpf_disable_instrumentation).
func (t *Tracer) readAbsent() (map[string]uint64, error) {
	counts := make(map[string]uint64)
	for _, p := range t.hooks.Sharers() {
		var perCPU []bpfAbsent
		if err := t.hooks.Map(bpfMapAbsents).Lookup(p.Number, &perCPU); err != nil {
			return nil, fmt.Errorf("read counters of missing programs: %w", err)
		}
		for _, c := range perCPU {
			if p.Returns {
				counts[p.Program] += c.Returns
			} else {
				counts[p.Program] += c.Entries
			}
		}
	}
	return counts, nil
}

func (l *Loss) miss(target string, n uint64) {
	if n == 0 {
		return
	}
	if l.MissedBy == nil {
		l.MissedBy = make(map[string]uint64)
	}
	l.Missed += n
	l.MissedBy[target] += n
}
