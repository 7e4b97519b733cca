package service

import (
	"sync"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// lasting are the actions that were given before their end and have not ended. It is safe for use
// by several goroutines.
type lasting struct {
	mu   sync.Mutex
	open map[tracer.ID]bool
}

// saw takes an action into account, and tells whether it is to be recorded: one that has not
// ended is, unless it is a minor one, which is recorded or counted when it has.
func (l *lasting) saw(a *tracer.Action) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.Preliminary {
		delete(l.open, a.ID)
		return true
	}
	if _, isMinor := minorOf(a); isMinor {
		return false
	}
	if l.open == nil {
		l.open = make(map[tracer.ID]bool)
	}
	l.open[a.ID] = true
	return true
}

func (l *lasting) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
