package slots

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// within runs a job with a second's patience.
func within(s *Slots, job Job, f func(context.Context) int) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return Run(ctx, s, job, f)
}

// TestHung: what never ends takes the slots of its own key, and none of the others.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute) // until no goroutine waits for a job any more
		s := New(Options{Each: 2, Total: 6, Reserved: 2})
		release := make(chan struct{})
		hang := func(context.Context) int { <-release; return 1 }
		answers := func(context.Context) int { return 7 }
		user := func(uid uint32) Job { return Job{Key: Key{uid, "fuse 0:1"}, What: "the file"} }

		began := time.Now()
		for range 2 {
			if _, err := within(s, user(1000), hang); !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a job that hangs: %v", err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("two took %v", took)
		}
		if _, err := within(s, user(1000), answers); !errors.Is(err, ErrFull) {
			t.Errorf("a third of that key: %v", err)
		}
		for _, uid := range []uint32{0, 1001} {
			if v, err := within(s, user(uid), answers); v != 7 || err != nil {
				t.Errorf("of user %d: %d, %v", uid, v, err)
			}
		}
		for uid := range uint32(2) {
			if _, err := within(s, user(2000+uid), hang); !errors.Is(err, ErrNoAnswer) {
				t.Errorf("of user %d: %v", uid, err)
			}
		}
		if _, err := within(s, user(3000), answers); !errors.Is(err, ErrFull) {
			t.Errorf("the unprivileged have all of theirs: %v", err)
		}
		root := user(0)
		root.Privileged = true
		if v, err := within(s, root, answers); v != 7 || err != nil {
			t.Errorf("a reserved one: %d, %v", v, err)
		}
		hung := s.Hung()
		if len(hung) != 4 || !hung[0].Since.Equal(began) || hung[0].User != 1000 || hung[0].What != "the file" {
			t.Errorf("hung: %+v", hung)
		}
		close(release)
		synctest.Wait()
		if hung := s.Hung(); len(hung) != 0 || len(s.each) != 0 || s.open != 0 {
			t.Errorf("after all have ended: %+v, %+v, %d", hung, s.each, s.open)
		}
		if v, err := within(s, user(1000), answers); v != 7 || err != nil {
			t.Errorf("afterwards: %d, %v", v, err)
		}
	})
}

// TestNotBegun: a context that has ended begins nothing.
func TestNotBegun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, New(Options{Each: 1, Total: 1}), Job{}, func(context.Context) int { panic("begun") }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSeveral(t *testing.T) {
	s := New(Options{Each: 100, Total: 100})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if v, err := Run(t.Context(), s, Job{}, func(context.Context) int { return 3 }); v != 3 || err != nil {
				t.Error(v, err)
			}
			s.Hung()
		})
	}
	all.Wait()
}
