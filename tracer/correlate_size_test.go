package tracer

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// longest is the longest text that the kernel side sends in room bytes, each of which
// takes four once it is printable; all different.
func longest(room, n int) string {
	return fmt.Sprintf("%08x", n) + strings.Repeat(printable("\xff"), room-8)
}

// worstProcess is a process with the longest texts.
func worstProcess(n int) Process {
	p := Process{PID: uint32(n), Start: time.Duration(n), Comm: longest(15, n), Terminal: longest(31, n), UID: 1000}
	p.Exe = &File{Path: "/" + longest(1279, n), Inode: uint64(n)}
	path := "/" + longest(255, n) + "/" + longest(255, n) + "/" + longest(255, n)
	p.Cgroup = parseCgroup(uint64(n), path, false)
	return p
}

// TestCorrelatorBytes: whatever anybody makes the kernel tell, what is kept of it stays
// within its bounds in bytes, not only in number.
func TestCorrelatorBytes(t *testing.T) {
	// What all has to stay below: both tables of processes, what is under way, and requests.
	const most = maxKnownBytes + maxKnownLimitedBytes + maxPendingBytes + maxAskedBytes + 8<<20
	for _, test := range []struct {
		name string
		most int
		feed func(c *Correlator, n int)
		n    int
	}{
		{name: "processes", most: 28 << 20, n: 3 * 16384, feed: func(c *Correlator, n int) {
			p := worstProcess(n)
			c.Add(Event{Kind: KindProcess, Time: time.Duration(n), Unprivileged: n%2 == 0, Process: &p})
		}},
		{name: "messages", most: most, n: 64 * 300, feed: func(c *Correlator, n int) {
			thread := Thread{TID: uint32(1 + n/300), PID: uint32(1 + n/300)}
			id := uint64(1 + n/300)
			if n%300 == 0 {
				c.Add(Event{Kind: KindEnter, Time: time.Duration(id), Attempt: id, Thread: thread, Enter: &Enter{Call: FinitModule, Capable: true}})
			}
			c.Add(Event{Kind: KindMessage, Time: time.Duration(id), Attempt: id, Thread: thread, Message: &Message{Text: longest(1024, n)}})
		}},
		{name: "attempts", most: most, n: 20000, feed: func(c *Correlator, n int) {
			thread := Thread{TID: uint32(n), PID: uint32(n)}
			c.Add(Event{Kind: KindEnter, Time: time.Duration(n), Attempt: uint64(n), Thread: thread, Enter: &Enter{Call: FinitModule, Text: longest(1020, n)}})
			c.Add(Event{Kind: KindActor, Time: time.Duration(n), Attempt: uint64(n), Thread: thread, Doer: &Doer{Of: uint64(n), Args: arguments(make([]byte, 512))}})
			c.Add(Event{Kind: KindFile, Time: time.Duration(n), Attempt: uint64(n), Thread: thread, File: &File{Path: longest(1279, n)}})
		}},
		{name: "requests", most: most, n: 1500, feed: func(c *Correlator, n int) {
			thread := Thread{TID: uint32(n), PID: uint32(n)}
			c.Add(Event{Kind: KindRequest, Time: time.Duration(n), Thread: thread, Request: &Request{Name: longest(55, n), Wait: true, Unprivileged: true}})
			c.Add(Event{Kind: KindActor, Time: time.Duration(n), Thread: thread, Doer: &Doer{Of: uint64(n), Args: arguments(make([]byte, 512))}})
			for i := range maxProcesses {
				p := worstProcess(n*maxProcesses + i)
				kin := Process{PID: p.PID, Start: p.Start, Comm: p.Comm, UID: p.UID, Cgroup: Cgroup{ID: p.Cgroup.ID}}
				c.Add(Event{Kind: KindKin, Time: time.Duration(n), Thread: thread, Kin: &Kin{Of: uint64(n), Index: i, Process: kin}})
				c.Add(Event{Kind: KindProcess, Time: time.Duration(n), Thread: thread, Unprivileged: true, Process: &p})
			}
			c.Add(Event{Kind: KindRequestReturn, Time: time.Duration(n), Thread: thread, Return: &Return{Value: -int64(unix.ENOENT)}})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := heap()
			c := NewCorrelator(0)
			for n := 1; n <= test.n; n++ {
				test.feed(c, n)
			}
			grown := int(heap()) - int(before)
			t.Logf("%d MiB", grown>>20)
			if grown > test.most {
				t.Errorf("%d MiB are kept, want at most %d", grown>>20, test.most>>20)
			}
			runtime.KeepAlive(c)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSmallSharesOfMemory: what is sent of threads that may not load does not push out what
// is known of the others, nor their actions, nor their requests.
func TestSmallSharesOfMemory(t *testing.T) {
	c := NewCorrelator(100)
	root := Process{PID: 1 << 20, Start: 1, Comm: "insmod"}
	whole := root
	whole.Exe = &File{Path: "/usr/bin/kmod"}
	c.Add(Event{Kind: KindProcess, Time: 1, Process: &whole})
	thread := Thread{TID: 1 << 20, PID: 1 << 20}
	c.Add(Event{Kind: KindEnter, Time: 1, Attempt: 1, Thread: thread, Enter: &Enter{Call: FinitModule, Capable: true}})
	c.Add(Event{Kind: KindKin, Time: 1, Attempt: 1, Thread: thread, Kin: &Kin{Of: 1, ForRequest: 2, Process: root}})
	asker := Thread{TID: 1<<20 + 1, PID: 1<<20 + 1}
	c.Add(Event{Kind: KindRequest, Time: 2, Thread: asker, Request: &Request{Name: "fs-xfs", Wait: true}})
	for n := range 5000 {
		p := worstProcess(n)
		c.Add(Event{Kind: KindProcess, Time: time.Duration(n + 3), Unprivileged: true, Process: &p})
		c.Add(Event{Kind: KindRequest, Time: time.Duration(n + 3), Thread: Thread{TID: uint32(n), PID: uint32(n)},
			Request: &Request{Name: "net-pf-11", Wait: true, Unprivileged: true}})
	}
	done := c.Add(Event{Kind: KindLeave, Time: 6000, Attempt: 1, Thread: thread, Return: &Return{Call: FinitModule}})
	if len(done) != 1 || done[0].EndLost || done[0].Actor == nil || done[0].Actor.Exe == nil || done[0].Requester == nil ||
		done[0].Requester.Request.Name != "fs-xfs" {
		t.Errorf("%+v", done)
	}
	if c.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
}

// TestUntold: of a process that was given up nothing is made up. The kernel side has
// forgotten it before; where it need not have, for memory was short, it is told to.
func TestUntold(t *testing.T) {
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
	if p := find(1); !p.Untold || p.Exe != nil || !p.Namespaces.User.Initial {
		t.Errorf("given up: %+v", p)
	}
	if p := find(11); p.Untold || p.Exe == nil {
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
	if p := k.find(Process{PID: 1}); p.Untold {
		t.Error("the first was given up")
	}
	add(1 << 20)
	if p := k.find(Process{PID: 1}); p.Untold {
		t.Error("the one used last was given up")
	}
	if p := k.find(Process{PID: 3}); !p.Untold {
		t.Error("the one used longest ago was not given up")
	}
}
