package service

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// watched is how far the watching itself is disturbed.
type watched struct {
	mu sync.Mutex
	// lasting are the disturbances that last, by what and why; counted is how often others
	// were.
	lasting    map[string]string
	counted    map[string]uint64
	last       time.Time // when one last began, ended or was counted
	unrecorded []blind   // what is not recorded yet

	inventoryDue atomic.Bool
	unseen       atomic.Int64 // modules that appeared or vanished
}

// blind is a gap: hooks that may not have run.
type blind struct {
	at   time.Time
	text string
}

// maxUnrecorded is how many gaps wait until the journal can be written.
const maxUnrecorded = 1000

// update takes over what disturbs the hooks now, and tells what has changed.
func (w *watched) update(now []tracer.Disturbance) (changed []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lasting == nil {
		w.lasting, w.counted = make(map[string]string), make(map[string]uint64)
	}
	there := make(map[string]bool)
	for _, d := range now {
		if d.Count > 0 {
			if d.Count > w.counted[d.What] {
				changed = append(changed, "hooks may have missed something: "+d.String())
			}
			w.counted[d.What] = d.Count
			continue
		}
		key := d.What + "\x00" + d.Why
		there[key] = true
		if w.lasting[key] == "" {
			w.lasting[key] = d.String()
			changed = append(changed, "hooks do not see everything from here on: "+d.String())
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.lasting)) {
		if !there[key] {
			changed = append(changed, "what disturbed hooks is over: "+w.lasting[key])
			delete(w.lasting, key)
		}
	}
	at := time.Now()
	for _, text := range changed {
		w.last = at
		if len(w.unrecorded) == maxUnrecorded {
			w.unrecorded[maxUnrecorded-1].text = "hooks were disturbed so often that not every time could be kept"
			continue
		}
		w.unrecorded = append(w.unrecorded, blind{at, text})
	}
	return changed
}

// tell gives the gaps that are not recorded yet to f, until that errs.
func (w *watched) tell(f func(blind) error) {
	for {
		w.mu.Lock()
		if len(w.unrecorded) == 0 {
			w.mu.Unlock()
			return
		}
		b := w.unrecorded[0]
		w.mu.Unlock()
		if f(b) != nil {
			return
		}
		w.mu.Lock()
		w.unrecorded = w.unrecorded[1:]
		w.mu.Unlock()
	}
}

// disturbed says what disturbs the hooks now, and when that last changed.
func (w *watched) disturbed() (now string, last time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(w.lasting)) {
		texts = append(texts, w.lasting[key])
	}
	return strings.Join(texts, "; "), w.last
}

// checkDisturbances records when hooks cannot run any more, and when they can again.
func (s *Service) checkDisturbances(now []tracer.Disturbance) {
	for _, text := range s.watched.update(now) {
		s.log.Warn().Msg(text)
		signal(s.lookAtIt) // what was done meanwhile shows in what is loaded
	}
	s.watched.tell(func(b blind) error { return s.note(journal.KindBlind, b.at, 0, note{Text: b.text}) })
}
