package service

import (
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// lane is where an action waits to be recorded. What is in a lower one goes first.
type lane int

const (
	changesLane  lane = iota // loads and unloads by who may, and those made for a request
	requestsLane             // requests by who may
	minorLane                // what changed nothing, by those who may change nothing
	lanes
)

// What may wait. The events of what comes later wait in the tracer, in less room; of
// minor actions that come later only the number is kept.
const (
	inMemory       = 1024 // actions in the first two lanes
	inMemoryMinor  = 256
	maxWeight      = 24 << 20 // bytes of these, about
	maxWeightMinor = 4 << 20
	// hurryRequests is the number of waiting requests above which one is recorded without
	// being explained: that takes runs of modprobe.
	hurryRequests = 128
	// minorPatience is how long a minor action waits behind others before it is only counted.
	minorPatience = 10 * time.Second
)

// waiting is an action that waits to be recorded.
type waiting struct {
	action *tracer.Action
	lane   lane
	since  time.Time
	weight int
	// hurry says why it is to be recorded without being looked into; empty if it is not.
	hurry string
}

// intake are the actions that have ended and are not recorded yet. One goroutine puts
// them, another one takes them.
type intake struct {
	folds *folds

	mu       sync.Mutex
	waits    [lanes][]waiting
	weight   [lanes]int
	busy     time.Time // since when what is being recorded waits; zero for nothing
	progress time.Time // when something was last taken or recorded
	ended    bool      // no more will be put
	left     bool      // no more will be taken
	lost     int       // what was put then

	more, room chan struct{}
}

func newIntake(f *folds) *intake {
	return &intake{folds: f, progress: time.Now(), more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put lets an action wait in its lane: the minor ones as long as there is room, and else
// they are counted. It waits for room for the others.
func (q *intake) put(a *tracer.Action) {
	w := waiting{action: a, since: time.Now(), weight: weigh(a), lane: changesLane}
	m, isMinor := minorOf(a)
	switch {
	case isMinor && !q.folds.inFull(&m):
		q.folds.add(&m, overBudget)
		return
	case isMinor:
		w.lane = minorLane
	case a.Kind == tracer.Autoload:
		w.lane = requestsLane
	}
	q.mu.Lock()
	for w.lane != minorLane && q.full() && !q.left {
		q.mu.Unlock()
		<-q.room
		q.mu.Lock()
	}
	full := w.lane == minorLane && (q.ended || len(q.waits[minorLane]) >= inMemoryMinor || q.weight[minorLane]+w.weight > maxWeightMinor)
	switch {
	case full:
	case q.left:
		q.lost++
	default:
		if w.lane == requestsLane && len(q.waits[requestsLane]) >= hurryRequests {
			w.hurry = "too many requests waited"
		}
		q.waits[w.lane] = append(q.waits[w.lane], w)
		q.weight[w.lane] += w.weight
	}
	q.mu.Unlock()
	if full {
		q.folds.add(&m, tooManyWait)
	}
	signal(q.more)
}

// full tells whether what is not a minor action must wait outside. One always has room.
func (q *intake) full() bool {
	n := len(q.waits[changesLane]) + len(q.waits[requestsLane])
	return n >= inMemory || n > 0 && q.weight[changesLane]+q.weight[requestsLane] >= maxWeight
}

// end is called when no more will be put.
func (q *intake) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	signal(q.more)
}

// leave is called when no more will be taken. It gives how many are left.
func (q *intake) leave() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = true
	n := len(q.waits[changesLane]) + len(q.waits[requestsLane])
	minors := q.waits[minorLane]
	q.waits = [lanes][]waiting{}
	q.countMinors(minors, notWritten)
	signal(q.room)
	return n
}

// lostSince gives how many were put after nobody took any more.
func (q *intake) lostSince() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// take gives the next action. It waits for one, and is false when there will be none.
func (q *intake) take() (waiting, bool) {
	for {
		w, ok, ended := q.next(changesLane, minorLane)
		if ok || ended {
			return w, ok
		}
		<-q.more
	}
}

// poll gives the next action if there is one that goes together with the last: none of a
// higher lane, for which the record of the last would wait, and minor ones with no others.
func (q *intake) poll(last *waiting) (waiting, bool) {
	from := changesLane
	if last.lane == minorLane {
		from = minorLane
	}
	w, ok, _ := q.next(from, last.lane)
	return w, ok
}

// next gives the next action, if it is in one of the lanes.
func (q *intake) next(from, to lane) (w waiting, ok, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropOldMinors()
	for l := range q.waits {
		if len(q.waits[l]) == 0 {
			continue
		}
		if lane(l) < from || lane(l) > to {
			return w, false, false
		}
		w = q.waits[l][0]
		q.waits[l][0] = waiting{}
		if q.waits[l] = q.waits[l][1:]; len(q.waits[l]) == 0 {
			q.waits[l] = nil
		}
		q.weight[l] -= w.weight
		if q.busy.IsZero() || w.since.Before(q.busy) {
			q.busy = w.since
		}
		q.progress = time.Now()
		signal(q.room)
		return w, true, false
	}
	return w, false, q.ended
}

// dropOldMinors counts the minor actions that others have kept waiting for long, and all of
// them when the service ends: nothing is to wait for those then.
func (q *intake) dropOldMinors() {
	n := 0
	for _, w := range q.waits[minorLane] {
		if !q.ended && time.Since(w.since) < minorPatience {
			break
		}
		q.weight[minorLane] -= w.weight
		n++
	}
	q.countMinors(q.waits[minorLane][:n], tooManyWait)
	q.waits[minorLane] = q.waits[minorLane][n:]
}

func (q *intake) countMinors(list []waiting, because why) {
	for _, w := range list {
		if m, ok := minorOf(w.action); ok {
			q.folds.add(&m, because)
		}
	}
}

// recorded is called when all that was taken is on the disk, or counted.
func (q *intake) recorded() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy, q.progress = time.Time{}, time.Now()
}

// waits says how many actions wait, and for how long the oldest of them has; those that
// are being recorded count.
func (q *intake) waitingNow() (n int, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	since := q.busy
	for l := range q.waits {
		n += len(q.waits[l])
		if len(q.waits[l]) > 0 && (since.IsZero() || q.waits[l][0].since.Before(since)) {
			since = q.waits[l][0].since
		}
	}
	if since.IsZero() {
		return n, 0
	}
	return n, time.Since(since)
}

// stuck tells for how long nothing was taken or recorded although something waits.
func (q *intake) stuck() time.Duration {
	_, oldest := q.waitingNow()
	q.mu.Lock()
	defer q.mu.Unlock()
	return min(oldest, time.Since(q.progress))
}

// quiet tells whether nothing waits.
func (q *intake) quiet() bool {
	n, oldest := q.waitingNow()
	return n == 0 && oldest == 0
}

// weigh estimates how much memory an action takes.
func weigh(a *tracer.Action) int {
	n := 2<<10 + len(a.Module) + texts(a.Messages) + weighActor(a.Actor)
	if a.Call != nil {
		n += len(a.Call.Text)
	}
	if a.Params != nil {
		n += len(a.Params.Text)
	}
	if a.File != nil {
		n += len(a.File.Path)
	}
	for r := range a.Requesters() {
		n += 256 + len(r.Request.Name) + weighActor(r.Actor)
	}
	return n
}

func weighActor(a *tracer.Actor) int {
	if a == nil {
		return 0
	}
	n := texts(a.Args) + weighProcess(&a.Process)
	for i := range a.Ancestors {
		n += weighProcess(&a.Ancestors[i])
	}
	return n + weighActor(a.StartedBy)
}

func weighProcess(p *tracer.Process) int {
	n := 256 + len(p.Comm) + len(p.Cgroup.Path) + len(p.Cgroup.Unit)
	if p.Exe != nil {
		n += 128 + len(p.Exe.Path)
	}
	return n
}

func texts(list []string) (n int) {
	for _, s := range list {
		n += 16 + len(s)
	}
	return n
}
