package service

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// What of minor actions is recorded in full: of each user and kind so many at once, and
// then one in a time; and of all users together. A user can have 65,536 subordinate ones,
// and any name for a module: the second bound is what those do not raise.
const (
	fullPerUser  = 8
	userRefill   = time.Minute
	fullOfAll    = 64
	allRefill    = 15 * time.Second
	foldFor      = time.Minute // a fold is recorded when it is that old
	maxFolds     = 256         // that are open; what has no room has one for all users
	maxSamples   = 6           // of each kind of text in a fold
	maxErrnos    = 12          // that a fold counts by name
	sampleSize   = 64          // bytes
	otherErrnos  = "other"
	maxSamplesOf = 16 // users in the fold of all
)

// folds counts the minor actions that are not recorded one by one. It is safe for use by
// several goroutines, and waits for nobody.
type folds struct {
	mu     sync.Mutex
	all    bucket
	users  map[foldKey]*bucket
	open   map[foldKey]*fold
	kernel map[kernelKey]kernelCount // what the kernel side said when it was last asked
	total  [kinds]uint64             // by kind, since the service began
}

// kinds is one more than the highest tracer.ActionKind.
const kinds = int(tracer.Autoload) + 1

// foldKey is what a fold is of.
type foldKey struct {
	who  caller
	kind tracer.ActionKind
	// shared is of all users for whom there was no room.
	shared bool
}

// fold stands for minor actions of one user and kind.
type fold struct {
	foldKey
	opened time.Time // by the clock that nobody sets
	Folded
}

// Folded is what the record of a fold says (docs/schema/record.schema.json).
type Folded struct {
	// UID is the user's, and User the name; absent where they are of several users, or
	// of one who is not known.
	UID  *uint32 `json:"uid,omitempty"`
	User string  `json:"user,omitempty"`
	// UIDs are the first of several users.
	UIDs   []uint32  `json:"uids,omitempty"`
	Action string    `json:"action"`
	Count  int64     `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	// Errnos counts them by the kernel's answer. Those that the kernel side counted are
	// in InKernel, and nothing else is known of them.
	Errnos   map[string]int64 `json:"errnos,omitempty"`
	InKernel int64            `json:"in_kernel,omitempty"`
	// Unread: of those in InKernel the kernel side would have told more, had they not come
	// faster than they were read.
	Unread int64 `json:"unread,omitempty"`
	// Unqueued, Unwritten: of these the budget would have allowed a record each, but too
	// many waited, or the journal could not be written.
	Unqueued  int64 `json:"unqueued,omitempty"`
	Unwritten int64 `json:"unwritten,omitempty"`
	// The first of each that were seen, and each once; cut.
	Modules    []string `json:"modules,omitempty"`
	Programs   []string `json:"programs,omitempty"`
	Containers []string `json:"containers,omitempty"`
}

// why says why an action has no record of its own.
type why uint8

const (
	overBudget why = iota
	tooManyWait
	notWritten
)

// bucket is a budget that refills with time.
type bucket struct {
	left int
	at   time.Time // when it last was refilled
}

// take takes one from a budget, if any is left.
func (b *bucket) take(now time.Time, most int, refill time.Duration) bool {
	if b.refill(now, most, refill); b.left == 0 {
		return false
	}
	b.left--
	return true
}

func (b *bucket) refill(now time.Time, most int, refill time.Duration) {
	n := now.Sub(b.at) / refill
	b.left = min(b.left+int(min(n, time.Duration(most))), most)
	if b.at = b.at.Add(n * refill); b.left == most {
		b.at = now
	}
}

func newFolds() *folds {
	return &folds{
		all: bucket{fullOfAll, time.Now()}, users: make(map[foldKey]*bucket),
		open: make(map[foldKey]*fold), kernel: make(map[kernelKey]kernelCount),
	}
}

// inFull tells whether a minor action is to be recorded by itself.
func (f *folds) inFull(m *minor) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	key := foldKey{who: m.who, kind: m.kind}
	own := f.users[key]
	if own == nil {
		own = &bucket{fullPerUser, now}
	}
	own.refill(now, fullPerUser, userRefill)
	if own.left == 0 || !f.all.take(now, fullOfAll, allRefill) {
		return false
	}
	own.left--
	f.users[key] = own
	// Each that is kept took one of the budget of all, and is full again in a while: there
	// are few at any time.
	if len(f.users) > 2*fullOfAll {
		maps.DeleteFunc(f.users, func(_ foldKey, b *bucket) bool {
			b.refill(now, fullPerUser, userRefill)
			return b.left == fullPerUser
		})
	}
	return true
}

// add counts a minor action.
func (f *folds) add(m *minor, because why) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total[m.kind]++
	d := f.of(foldKey{who: m.who, kind: m.kind})
	d.grow(1, m.at, m.at)
	d.User = sample(m.user)
	d.errno(m.errno, 1)
	switch because {
	case tooManyWait:
		d.Unqueued++
	case notWritten:
		d.Unwritten++
	}
	addSample(&d.Modules, m.module)
	addSample(&d.Programs, m.program)
	addSample(&d.Containers, m.container)
	d.name()
}

// of gives the open fold of a key, or the one that stands for it too.
func (f *folds) of(key foldKey) *fold {
	d := f.open[key]
	if d != nil {
		return d
	}
	if len(f.open) >= maxFolds {
		uid := key.who
		key = foldKey{kind: key.kind, shared: true}
		if d = f.open[key]; d == nil { // one for each kind
			d = f.begin(key)
		}
		if uid.known && len(d.UIDs) < maxSamplesOf && !slices.Contains(d.UIDs, uid.uid) {
			d.UIDs = append(d.UIDs, uid.uid)
		}
		return d
	}
	return f.begin(key)
}

func (f *folds) begin(key foldKey) *fold {
	d := &fold{foldKey: key, opened: time.Now()}
	d.Action = key.kind.String()
	if key.who.known && !key.shared {
		d.UID = &d.who.uid
	}
	f.open[key] = d
	return d
}

// name drops a name where a fold is of several users.
func (d *fold) name() {
	if d.UID == nil {
		d.User = ""
	}
}

func (d *fold) grow(n int64, first, last time.Time) {
	d.Count += n
	if d.First.IsZero() || first.Before(d.First) {
		d.First = first
	}
	if last.After(d.Last) {
		d.Last = last
	}
}

func (d *fold) errno(name string, n int64) {
	if name == "" || n == 0 {
		return
	}
	if d.Errnos == nil {
		d.Errnos = make(map[string]int64)
	}
	if _, ok := d.Errnos[name]; !ok && len(d.Errnos) >= maxErrnos {
		name = otherErrnos
	}
	d.Errnos[name] += n
}

func addSample(list *[]string, text string) {
	if text == "" || len(*list) >= maxSamples {
		return
	}
	if text = sample(text); !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// take closes the folds that are due, all of them where the service ends, and gives them
// in the order in which they began.
func (f *folds) take(all bool) []*fold {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []*fold
	for key, d := range f.open {
		if all || time.Since(d.opened) >= foldFor {
			due = append(due, d)
			delete(f.open, key)
		}
	}
	slices.SortFunc(due, func(a, b *fold) int { return a.First.Compare(b.First) })
	return due
}

// putBack opens a fold again that could not be written: it goes on counting.
func (f *folds) putBack(old *fold) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.open[old.foldKey]
	if d == nil && (old.shared || len(f.open) < maxFolds) {
		f.open[old.foldKey] = old
		return
	}
	if d == nil {
		d = f.of(old.foldKey)
	}
	d.join(old)
}

// join adds what another fold counted.
func (d *fold) join(o *fold) {
	d.grow(o.Count, o.First, o.Last)
	if o.opened.Before(d.opened) {
		d.opened = o.opened
	}
	d.InKernel += o.InKernel
	d.Unread += o.Unread
	d.Unqueued += o.Unqueued
	d.Unwritten += o.Unwritten
	for _, name := range slices.Sorted(maps.Keys(o.Errnos)) {
		d.errno(name, o.Errnos[name])
	}
	for _, from := range []struct{ into, list *[]string }{{&d.Modules, &o.Modules}, {&d.Programs, &o.Programs}, {&d.Containers, &o.Containers}} {
		for _, text := range *from.list {
			addSample(from.into, text)
		}
	}
	for _, uid := range o.UIDs {
		if len(d.UIDs) < maxSamplesOf && !slices.Contains(d.UIDs, uid) {
			d.UIDs = append(d.UIDs, uid)
		}
	}
	if d.User == "" {
		d.User = o.User
	}
	d.name()
}

// kernelKey is what the kernel side counts by.
type kernelKey struct {
	uid    uint32
	others bool
	kind   tracer.ActionKind
}

type kernelCount struct {
	count, unread uint64
	last          time.Duration
}

// addKernel adds what the kernel side has counted since it was last asked. The times it
// gives are those since boot.
func (f *folds) addKernel(counts []tracer.Folded, now time.Time, sinceBoot time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range counts {
		c := &counts[i]
		if int(c.Kind) >= kinds {
			continue
		}
		key := kernelKey{c.UID, c.Others, c.Kind}
		was := f.kernel[key]
		if c.Count < was.count { // another counter has its place
			was = kernelCount{}
		}
		n := int64(c.Count - was.count)
		if n == 0 {
			continue
		}
		f.kernel[key] = kernelCount{c.Count, c.Unread, c.Last}
		f.total[c.Kind] += uint64(n)
		d := f.of(foldKey{who: caller{c.UID, !c.Others}, kind: c.Kind, shared: c.Others})
		wall := func(at time.Duration) time.Time { return now.Add(at - sinceBoot).Round(0) }
		d.grow(n, wall(max(c.First, was.last)), wall(c.Last))
		d.InKernel += n
		d.Unread += int64(c.Unread - was.unread)
	}
}

// totals gives how many were folded by kind.
func (f *folds) totals() (byKind [kinds]uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// whose names the user for the record's id.
func (d *fold) whose() string {
	switch {
	case d.shared:
		return "several"
	case d.UID == nil:
		return "unknown"
	}
	return strconv.FormatUint(uint64(*d.UID), 10)
}

// text says in a sentence what a fold stands for.
func (d *fold) text() string {
	whose := "a user that is not known"
	switch {
	case d.shared:
		whose = "several users, for whom there was no room one by one"
	case d.User != "":
		whose = d.User
	case d.UID != nil:
		whose = fmt.Sprintf("user %d", *d.UID)
	}
	return fmt.Sprintf("%s to %s modules changed nothing, by %s without the right to load any", cells.Plural(d.Count, "more attempt"), d.Action, whose)
}
