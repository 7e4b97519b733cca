//go:build !race

package tracer

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
			id := ID(1 + n/300)
			if n%300 == 0 {
				c.Add(Event{Kind: KindEnter, Time: time.Duration(id), Attempt: id, Thread: thread, Enter: &Enter{Call: FinitModule, Capable: true}})
			}
			c.Add(Event{Kind: KindMessage, Time: time.Duration(id), Attempt: id, Thread: thread, Message: &Message{Text: longest(1024, n)}})
		}},
		{name: "attempts", most: most, n: 20000, feed: func(c *Correlator, n int) {
			thread := Thread{TID: uint32(n), PID: uint32(n)}
			c.Add(Event{Kind: KindEnter, Time: time.Duration(n), Attempt: ID(n), Thread: thread, Enter: &Enter{Call: FinitModule, Text: longest(1020, n)}})
			c.Add(Event{Kind: KindActor, Time: time.Duration(n), Attempt: ID(n), Thread: thread, Actor: &ActorDetails{Of: ID(n), Args: arguments(make([]byte, 512))}})
			c.Add(Event{Kind: KindFile, Time: time.Duration(n), Attempt: ID(n), Thread: thread, File: &File{Path: longest(1279, n)}})
		}},
		{name: "requests", most: most, n: 1500, feed: func(c *Correlator, n int) {
			thread := Thread{TID: uint32(n), PID: uint32(n)}
			c.Add(Event{Kind: KindRequest, Time: time.Duration(n), Thread: thread, Request: &Request{Name: longest(55, n), Wait: true, Unprivileged: true}})
			c.Add(Event{Kind: KindActor, Time: time.Duration(n), Thread: thread, Actor: &ActorDetails{Of: ID(n), Args: arguments(make([]byte, 512))}})
			for i := range maxProcesses {
				p := worstProcess(n*maxProcesses + i)
				member := Process{PID: p.PID, Start: p.Start, Comm: p.Comm, UID: p.UID, Cgroup: Cgroup{ID: p.Cgroup.ID}}
				c.Add(Event{Kind: KindAncestor, Time: time.Duration(n), Thread: thread, Ancestor: &Ancestor{Of: ID(n), Index: i, Process: member}})
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
