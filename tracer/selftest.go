package tracer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// selfTests are the calls of [Tracer.SelfTest] to which the iteration has not come yet.
type selfTests struct {
	mu      sync.Mutex
	waiting map[string]chan<- Action // by what their text is
}

// SelfTest makes two system calls that every kernel refuses, one that would load and one that would unload a module, and
// waits until the iteration has come to both. An error says that it has not when ctx ends, or that not all of them
// was seen: then nobody else's calls are seen either. ctx must leave enough time for what is in the backlog.
//
// Nobody who iterates over this Tracer gets these calls. Another Tracer has them as refused calls of this process.
func (t *Tracer) SelfTest(ctx context.Context) error {
	text := "kmodtrace_self_test_" + rand.Text()
	seen := make(chan Action, 2)
	t.tests.await(text, seen)
	defer t.tests.await(text, nil)
	want := map[ActionKind]error{Load: refuse(func() error { return unix.FinitModule(-1, text, 0) }), Unload: refuse(func() error { return unix.DeleteModule(text, unix.O_NONBLOCK) })}
	for len(want) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of 2 calls of the self-test were not seen: %w", len(want), ctx.Err())
		case a := <-seen:
			errno, ok := want[a.Kind]
			delete(want, a.Kind)
			switch {
			case !ok:
				return fmt.Errorf("a %v of the self-test was seen twice", a.Kind)
			case a.Outcome != Failed || !errors.Is(a.Errno, errno) || a.Partial || a.EndLost || a.Lost > 0:
				return fmt.Errorf("of a %v of the self-test, which gave %w, was seen: %v, %v", a.Kind, errno, a.Outcome, a.Errno)
			}
		}
	}
	return nil
}

// refuse makes a call until it is not a signal that ends it.
func refuse(call func() error) error {
	runtime.LockOSThread() // a call is of one thread
	defer runtime.UnlockOSThread()
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *selfTests) await(text string, seen chan<- Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen == nil {
		delete(s.waiting, text)
		return
	}
	if s.waiting == nil {
		s.waiting = make(map[string]chan<- Action)
	}
	s.waiting[text] = seen
}

// takes tells whether an action is of a self-test, which gets it.
func (s *selfTests) takes(a *Action) bool {
	if a.Call == nil || a.Outcome == Live {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.waiting[a.Call.Text]
	if seen == nil {
		return false
	}
	if a.Errno != unix.EINTR && !a.Preliminary {
		select {
		case seen <- *a:
		default: // somebody else uses its text
			return false
		}
	}
	return true
}
