//go:build !race

package tracer

import (
	"testing"
	"time"
)

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
	c.Add(Event{Kind: KindAncestor, Time: 1, Attempt: 1, Thread: thread, Ancestor: &Ancestor{Of: 1, ForRequest: 2, Process: root}})
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
