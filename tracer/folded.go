package tracer

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Folded counts refusals that were not told one by one. A caller without CAP_SYS_MODULE in
// the first user namespace is refused before anything happens, and can be refused some ten
// thousand times a second: of each user the first 64 are told in full and four a second
// from then on, of all such users together 128 and 16 a second. The rest is counted here.
// The same holds for the requests that such a caller makes and that come to no helper.
// Nothing more is told while eight of those calls, or of those requests, wait to be read and
// the first of them has waited for half a second: a slow reader has more counted, not more to
// catch up on.
//
// What is counted here was seen and is not lost: [Loss] does not have it.
type Folded struct {
	// UID is the caller's user, as the first user namespace numbers it.
	UID uint32 `json:"uid"`
	// Others says that these are of users for whom there was no counter of their own: the
	// kernel side keeps 1,024. UID says nothing then.
	Others bool `json:"others,omitempty"`
	// Kind is what was refused.
	Kind ActionKind `json:"action"`
	// Count only grows while the [Tracer] is open.
	Count uint64 `json:"count"`
	// Unread counts those of Count which would have been told, had the reader not been behind.
	Unread uint64 `json:"unread,omitempty"`
	// First and Last are the kernel's times since boot of the first and the last of them.
	First time.Duration `json:"first_boottime_ns,string"`
	Last  time.Duration `json:"last_boottime_ns,string"`
}

// Folded reads the counters as they are now, those of all users since Open, in the order
// of users and kinds. After Close it gives them as they were then.
func (t *Tracer) Folded() ([]Folded, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return slices.Clone(t.finalFolded), nil
	}
	return t.readFolded()
}

func (t *Tracer) readFolded() ([]Folded, error) {
	others, err := readCounters[bpfFolded](t.hooks.Map(bpfMapOtherFolds))
	if err != nil {
		return nil, fmt.Errorf("read counters of others' refusals: %w", err)
	}
	// Where there is nothing new the counters of users are left alone: see counters.go.
	if others[0].Count == t.foldedCount {
		return slices.Clone(t.folded), nil
	}
	var all folds
	var key bpfFoldKey
	var f bpfFolded
	each := t.hooks.Map(bpfMapFolds).Iterate()
	for each.Next(&key, &f) {
		all.add(Folded{UID: key.Uid}, bpfFold(key.What), f)
	}
	if err := each.Err(); err != nil {
		return nil, fmt.Errorf("read counters of refusals: %w", err)
	}
	for what := bpfFold(1); what < bpfFoldFOLDS; what++ {
		all.add(Folded{Others: true}, what, others[what])
	}
	slices.SortFunc(all, func(a, b Folded) int {
		if a.Others != b.Others {
			if a.Others {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.Kind, b.Kind))
	})
	t.folded, t.foldedCount = all, others[0].Count
	return slices.Clone(t.folded), nil
}

type folds []Folded

// add takes a counter. The two system calls that load are one kind.
func (all *folds) add(f Folded, what bpfFold, counted bpfFolded) {
	if counted.Count == 0 {
		return
	}
	f.Kind = Load
	switch what {
	case bpfFoldFOLD_DELETE_MODULE:
		f.Kind = Unload
	case bpfFoldFOLD_REQUEST:
		f.Kind = Autoload
	}
	f.Count, f.Unread = counted.Count, counted.Unread
	f.First, f.Last = time.Duration(counted.First), time.Duration(counted.Last)
	i := slices.IndexFunc(*all, func(g Folded) bool { return g.UID == f.UID && g.Others == f.Others && g.Kind == f.Kind })
	if i < 0 {
		*all = append(*all, f)
		return
	}
	have := &(*all)[i]
	have.Count += f.Count
	have.Unread += f.Unread
	have.First, have.Last = min(have.First, f.First), max(have.Last, f.Last)
}
