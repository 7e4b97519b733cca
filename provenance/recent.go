package provenance

import (
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// recent remembers the latest lookups, for other actions that had ended when one began:
// what it found of the file holds for them too. In a storm, when the reader comes late,
// that is most of them.
type recent struct {
	mu    sync.Mutex
	known map[sameLoad]answer
}

// sameLoad is all of an action that a lookup depends on which needed nothing of the
// loader's process.
type sameLoad struct {
	file  tracer.File
	mount uint32
}

// answer is what a lookup found that began then.
type answer struct {
	began  time.Duration // since boot
	ended  time.Time
	origin Origin
}

const (
	maxRecent = 256
	recently  = time.Second
)

func sameLoadOf(a *tracer.Action) sameLoad {
	s := sameLoad{file: *a.File}
	if a.Actor != nil {
		s.mount = a.Actor.Namespaces.Mount.ID
	}
	return s
}

// find gives a copy of what holds for an action too; nil for none.
func (r *recent) find(a *tracer.Action) *Origin {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.known[sameLoadOf(a)]
	if !ok || a.End == 0 || a.End > found.began || time.Since(found.ended) > recently {
		return nil
	}
	return found.origin.clone()
}

// keep remembers a lookup that is complete. Without a time of change it depends on the
// clock too.
func (r *recent) keep(s *search, began time.Duration, o *Origin) {
	if s.sought || s.action.File.ChangeTimeNS == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= maxRecent {
		r.known = make(map[sameLoad]answer)
	}
	r.known[sameLoadOf(s.action)] = answer{began: began, ended: time.Now(), origin: *o.clone()}
}
