package tracer

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// longest is the longest text that the kernel side sends in room bytes, each of which
// takes four once it is printable; all different.
func longest(room, n int) string {
	return fmt.Sprintf("%08x", n) + strings.Repeat(wire.Printable("\xff"), room-8)
}

// worstProcess is a process with the longest texts.
func worstProcess(n int) Process {
	p := Process{PID: uint32(n), Start: time.Duration(n), Comm: longest(15, n), Terminal: longest(31, n), UID: 1000}
	p.Exe = &File{Path: "/" + longest(1279, n), Inode: uint64(n)}
	path := "/" + longest(255, n) + "/" + longest(255, n) + "/" + longest(255, n)
	p.Cgroup = parseCgroup(uint64(n), path, false)
	return p
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestIncomplete: of a process that was given up nothing is made up. The kernel side has
// forgotten it before; where it need not have, for memory was short, it is told to.
func TestIncomplete(t *testing.T) {
	c := NewCorrelator(0)
	forgotten := make(map[uint32]bool)
	c.known.forgot = func(p *Process) { forgotten[p.PID] = true }
	tell := func(n int, path string) {
		p := Process{PID: uint32(n), Start: 1, Exe: &File{Path: path}}
		p.Namespaces.User.ID = firstUserNamespace
		c.Add(Event{Kind: KindProcess, Time: 1, Process: &p})
	}
	for n := range maxKnown + 10 {
		tell(n+1, "/bin/sh")
	}
	if len(forgotten) > 0 {
		t.Errorf("forgot %d, the first %t, the last %t", len(forgotten), forgotten[1], forgotten[maxKnown+14])
	}
	find := func(pid uint32) Process {
		p := Process{PID: pid, Start: 1}
		p.Namespaces.User.ID = firstUserNamespace
		return c.known.find(p)
	}
	if p := find(1); !p.Incomplete || p.Exe != nil || !p.Namespaces.User.Initial {
		t.Errorf("given up: %+v", p)
	}
	if p := find(11); p.Incomplete || p.Exe == nil {
		t.Errorf("kept: %+v", p)
	}
	for n := range 4 {
		tell(maxKnown+11+n, strings.Repeat("x", maxKnownBytes/4))
	}
	if len(forgotten) == 0 || forgotten[1] || forgotten[maxKnown+14] {
		t.Errorf("forgot %d, the first %t, the last %t", len(forgotten), forgotten[1], forgotten[maxKnown+14])
	}
}

// TestKnownByUse: what the kernel side has just found among whom it told of is not given up,
// however often others are used.
func TestKnownByUse(t *testing.T) {
	var k known
	add := func(n int) { k.add(&Process{PID: uint32(n), Exe: &File{}}, false) }
	add(1)
	for n := range maxKnown - 1 {
		add(n + 2)
	}
	for range 10 * maxKnown {
		k.touch(&Process{PID: 2})
	}
	// 4,095 others have come since: the kernel side may know it still after 1,024.
	if p := k.find(Process{PID: 1}); p.Incomplete {
		t.Error("the first was given up")
	}
	add(1 << 20)
	if p := k.find(Process{PID: 1}); p.Incomplete {
		t.Error("the one used last was given up")
	}
	if p := k.find(Process{PID: 3}); !p.Incomplete {
		t.Error("the one used longest ago was not given up")
	}
}
