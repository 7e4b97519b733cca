package journal

import (
	"cmp"
	"slices"
	"time"
)

// walk goes along the chain, and judges each record by its own hash and by its
// neighbours'.
type walk struct {
	name   string
	report *Report

	at     int64 // the number of the record before; 0: none yet
	hash   Sum   // that it has
	own    int64 // the number that it was written with
	sound  bool  // it has the hash that it was written with
	broken int64 // this record does not follow the one before it, and who is to blame is open

	first   link // the first record: its number, and the hash of the one before it
	removed *removed
	said    int64  // the record that says what retention removed
	seen    *Sum   // what the last record says of what was seen first in removed ones
	holes   []hole // where records are missing, by what their neighbours say
	told    []told // where retention says that it removed some

	shift       []shift // where records stand at other numbers than their own
	budget      int     // bytes that may still be hashed to find a record's own number
	misses      int     // how often it was not found
	unexplained []int64
	anchors     []Anchor
	anchored    map[int64]Sum // of the records that anchors are about
}

// told is a hole that a record tells of.
type told struct {
	hole
	by int64
}

// maxHoles is how many holes are compared: there is one for each record that is left, at
// most, and a journal of some gigabytes has fewer.
const maxHoles = 4 << 20

// shift is a run of records that stand at a distance from their own numbers.
type shift struct {
	at   int64 // the first of them
	away int64 // their own number, less the one that they stand at
}

func newWalk(name string, report *Report, anchors []Anchor) *walk {
	w := &walk{name: name, report: report, sound: true, budget: 256 << 20, anchored: map[int64]Sum{}}
	for _, a := range anchors {
		if a.Journal == name && a.Count > 0 {
			w.anchors = append(w.anchors, a)
			w.anchored[a.Count] = Sum{}
		}
	}
	slices.SortStableFunc(w.anchors, func(a, b Anchor) int { return cmp.Compare(a.Count, b.Count) })
	return w
}

// last gives where it is.
func (w *walk) last() link { return link{w.at, w.hash} }

// step takes the next record. It may have been unreadable in part.
func (w *walk) step(r *kept, unreadable error) {
	w.report.Records++
	if r.Seq < 1 {
		w.report.add(Inserted, r.Seq, r.Seq, "the first record has number 1")
		return
	}
	follows := w.at != 0 && r.Seq == w.at+1
	switch {
	case w.at == 0:
		w.first, w.report.First = link{r.Seq, r.Prev}, r.Seq
	case !follows:
		w.settle()
		w.missing(hole{w.at + 1, r.Seq - 1, w.hash, r.Prev})
	}
	own, sound := r.Seq, false
	if unreadable != nil {
		w.report.add(Changed, r.Seq, r.Seq, "%v", unreadable)
	} else {
		own, sound = w.ownNumber(r)
	}
	w.compare(r, own, sound, follows)
	w.at, w.hash, w.own, w.sound = r.Seq, r.Hash, own, sound
	if _, ok := w.anchored[r.Seq]; ok && sound {
		w.anchored[r.Seq] = r.Hash
	}
}

// ownNumber finds the number that a record was written with. It tells false where it is
// not as it was written.
func (w *walk) ownNumber(r *kept) (int64, bool) {
	if r.sum(w.name) == r.Hash {
		w.shiftTo(r.Seq, 0)
		w.keepRemoved(r)
		return r.Seq, true
	}
	if own := w.search(r); own != 0 {
		w.shiftTo(r.Seq, own-r.Seq)
		w.report.add(Moved, r.Seq, r.Seq, "it was record %d", own)
		return own, true
	}
	if len(w.unexplained) < 64 {
		w.unexplained = append(w.unexplained, r.Seq)
	} else {
		w.report.add(Changed, r.Seq, r.Seq, "it does not have the hash that it was written with")
	}
	return r.Seq + w.away(), false
}

// away gives the distance of the last run of records.
func (w *walk) away() int64 {
	if len(w.shift) == 0 {
		return 0
	}
	return w.shift[len(w.shift)-1].away
}

func (w *walk) shiftTo(at, away int64) {
	if away != w.away() && len(w.shift) < 1000 {
		w.shift = append(w.shift, shift{at, away})
	}
}

// reach is how far from its place a record is looked for, and maxMisses how often that
// may be in vain: then only where the others were found.
const (
	reach     = 2048
	maxMisses = 20
)

// search finds the number for which a record has its hash; 0 if there is none near.
func (w *walk) search(r *kept) int64 {
	fits := func(seq int64) bool {
		if seq < 1 || w.budget <= 0 {
			return false
		}
		w.budget -= len(r.Body) + 512
		moved := *r // the body is shared
		moved.Seq = seq
		return moved.sum(w.name) == r.Hash
	}
	if seq := r.Seq + w.away(); fits(seq) {
		return seq
	}
	far := int64(reach)
	if w.misses >= maxMisses {
		far = 1
	}
	for away := int64(1); away <= far; away++ {
		if fits(r.Seq + away) {
			return r.Seq + away
		}
		if fits(r.Seq - away) {
			return r.Seq - away
		}
	}
	w.misses++
	return 0
}

// among tells for which number of the others that are unexplained a record has its hash.
func (w *walk) among(r *kept) int64 {
	for _, seq := range w.unexplained {
		moved := *r
		moved.Seq = seq
		if moved.sum(w.name) == r.Hash {
			return seq
		}
	}
	return 0
}

// compare sees whether a record follows the one before it. Where both are sound and it
// does not, one of them was written anew: the earlier one, if the next record follows
// the later one.
func (w *walk) compare(r *kept, own int64, sound, follows bool) {
	if !follows || !sound || !w.sound || own != w.own+1 {
		w.settle()
		return
	}
	fits := r.Prev == w.hash
	switch {
	case fits:
		w.settle()
	case w.broken == w.at: // follows neither the one before it, nor does this follow it
		w.blame(w.at)
		w.broken = 0
	default:
		w.broken = r.Seq
	}
}

// settle blames the record before a broken place: nothing speaks against the one behind
// it.
func (w *walk) settle() {
	if w.broken != 0 {
		w.blame(w.broken - 1)
		w.broken = 0
	}
}

func (w *walk) blame(seq int64) {
	w.report.add(Changed, seq, seq, "it was written anew: its neighbours know another hash")
}

// missing notes where records are not there.
func (w *walk) missing(h hole) {
	if len(w.holes) == maxHoles {
		w.report.add(Removed, h.From, h.Through, "so many are missing that it was not seen whether retention removed these")
		return
	}
	w.holes = append(w.holes, h)
}

// keepRemoved notes what a record says that retention removed.
func (w *walk) keepRemoved(r *kept) {
	var err error
	switch r.Kind {
	case KindRetention:
		var said *removed
		if said, err = r.removed(); err == nil {
			w.removed, w.said, w.seen = said, r.Seq, said.First
			w.report.Removed = said.Through
		}
	case KindThinned:
		err = w.keepThinned(r)
	}
	if err != nil {
		w.report.add(Changed, r.Seq, r.Seq, "%v", err)
	}
}

func (w *walk) keepThinned(r *kept) error {
	said, err := r.thinned()
	if err != nil {
		return err
	}
	if said.First != nil {
		w.seen = said.First
	}
	for _, h := range said.Ranges {
		if h.From < 1 || h.Through < h.From || h.Through >= r.Seq || len(w.told) == maxHoles {
			return corrupt("record %d cannot have removed records %d to %d", r.Seq, h.From, h.Through)
		}
		w.told = append(w.told, told{h, r.Seq})
	}
	return nil
}

// finish judges the whole.
func (w *walk) finish(head link) {
	w.settle()
	w.front()
	w.compareHoles()
	w.shifts()
	switch {
	case head.seq > w.at:
		w.report.add(Removed, max(w.at, w.report.Removed)+1, head.seq, "they are missing at the end")
	case head.seq < w.at:
		w.report.add(Inserted, head.seq+1, w.at, "they are behind the last record that was appended")
	case head.hash != w.hash:
		w.report.add(Ended, head.seq, head.seq, "the last record has another hash than the one kept apart")
	}
	w.compareAnchors()
}

// front compares what is missing at the front with what retention says.
func (w *walk) front() {
	through, hash := int64(0), Sum{}
	if w.removed != nil {
		through, hash = w.removed.Through, w.removed.Hash
	}
	switch {
	case w.at == 0:
	case w.first.seq > through+1:
		w.holes = slices.Insert(w.holes, 0, hole{through + 1, w.first.seq - 1, hash, w.first.hash})
	case w.first.seq <= through:
		w.report.add(Inserted, w.first.seq, through, "retention has removed what was there (record %d)", w.said)
	case w.first.hash != hash:
		w.report.add(Changed, w.first.seq, w.first.seq, "it does not follow what was before it")
	}
}

// compareHoles compares where records are missing with where retention says that it
// removed some. Both are in order then.
func (w *walk) compareHoles() {
	through := int64(0)
	if w.removed != nil {
		through = w.removed.Through
	}
	w.told = slices.DeleteFunc(w.told, func(t told) bool { return t.Through <= through })
	slices.SortFunc(w.told, func(a, b told) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.by, b.by)) })
	for _, t := range w.told {
		w.report.Thinned += t.Through - t.From + 1
	}
	left := w.told
	for _, h := range w.holes {
		if h.Through <= through {
			continue
		}
		for len(left) > 0 && left[0].Through < h.From {
			w.present(left[0].From, left[0].Through, left[0].by)
			left = left[1:]
		}
		left = w.compareHole(h, left)
	}
	for _, t := range left {
		w.present(t.From, min(t.Through, w.at), t.by)
	}
}

// compareHole takes what is told of a hole from the front of a list, and gives the rest.
func (w *walk) compareHole(h hole, left []told) []told {
	at, hash := h.From, h.Prev
	for len(left) > 0 && left[0].From <= h.Through {
		t := &left[0]
		switch {
		case t.From > at:
			w.unexplainedHole(at, t.From-1)
		case t.From < at && at == h.From: // what is before it is there
			w.present(t.From, at-1, t.by)
		case t.From < at:
			w.report.add(Inserted, t.by, t.by, "it says that retention removed records %d to %d, and so does another", t.From, t.Through)
		case t.Prev != hash:
			w.blame(at - 1)
		}
		if t.Through > h.Through { // what is behind the hole must not be there
			t.From = h.Through + 1
			return left
		}
		at, hash = max(at, t.Through+1), t.Hash
		left = left[1:]
	}
	switch {
	case at <= h.Through:
		w.unexplainedHole(at, h.Through)
	case hash != h.Hash:
		w.report.add(Changed, h.Through+1, h.Through+1, "it does not follow what retention removed before it")
	}
	return left
}

// present says that records are there that retention says it removed.
func (w *walk) present(from, through, by int64) {
	if from <= through {
		w.report.add(Inserted, from, through, "retention has removed what was there (record %d)", by)
	}
}

func (w *walk) unexplainedHole(from, through int64) {
	w.report.add(Removed, from, through, "they are missing, and retention did not remove them")
}

// toldOf gives what is told of a record that was removed from between others.
func (w *walk) toldOf(seq int64) *told {
	i, ok := slices.BinarySearchFunc(w.told, seq, func(t told, seq int64) int {
		switch {
		case t.Through < seq:
			return -1
		case t.From > seq:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &w.told[i]
}

// shifts tells what numbers that do not fit say about missing and additional records:
// only from the last run on that goes to the end, as what stands before may have changed
// places.
func (w *walk) shifts() {
	if w.away() == 0 {
		return
	}
	run, before := w.shift[len(w.shift)-1], int64(0)
	if len(w.shift) > 1 {
		before = w.shift[len(w.shift)-2].away
	}
	if n := run.away - before; n > 0 {
		w.report.add(Removed, run.at+before, run.at+run.away-1, "those behind were given their numbers")
	} else {
		w.report.add(Inserted, run.at+n, run.at-1, "those behind were given other numbers")
	}
}

// compareAnchors finds a chain that was made anew, and one that was cut.
func (w *walk) compareAnchors() {
	good := w.report.Removed
	for _, a := range w.anchors {
		when := a.Time.UTC().Format(time.RFC3339)
		switch {
		case w.removed != nil && a.Count < w.removed.Through:
			continue
		case w.removed != nil && a.Count == w.removed.Through:
			if a.Hash != w.removed.Hash {
				w.report.add(Rewritten, w.said, w.said, "what it says of record %d is not what the anchor of %s does", a.Count, when)
			}
		case w.toldOf(a.Count) != nil && w.anchored[a.Count] == (Sum{}):
			t := w.toldOf(a.Count)
			if t.Through != a.Count {
				continue
			}
			if t.Hash != a.Hash {
				w.report.add(Rewritten, t.by, t.by, "what it says of record %d is not what the anchor of %s does", a.Count, when)
			}
		case a.Count > w.at:
			w.report.add(Removed, w.at+1, a.Count, "there were %d records by the anchor of %s", a.Count, when)
		case w.anchored[a.Count] != a.Hash:
			w.report.add(Rewritten, good+1, a.Count, "record %d had another hash by the anchor of %s", a.Count, when)
		default:
			good = a.Count
		}
		w.report.Anchors++
	}
}
