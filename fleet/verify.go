package fleet

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Trouble says what is wrong with a machine's records.
type Trouble string

// The troubles.
const (
	// Missing: records are not there, and no record says that retention removed them.
	Missing Trouble = "missing"
	// Forked: there are two records of one number, each with the hash of what it says: the
	// journal has two histories.
	Forked Trouble = "forked"
	// Changed: a record does not have the hash of what it says.
	Changed Trouble = "changed"
	// Rewritten: a record follows another one than the one that is there.
	Rewritten Trouble = "rewritten"
	// Anchored: an anchor has another hash than the record of its number, or is of a record
	// after the last.
	Anchored Trouble = "anchor"
	// Cloned: two machines have one machine-id.
	Cloned Trouble = "cloned"
	// Silent: nothing came for long, and no record says that the watching ended.
	Silent Trouble = "silent"
	// Clock: times go back, and no record says that the clock was set, or are in the future.
	Clock Trouble = "clock"
	// Unproven: the source does not have what the hash is over.
	Unproven Trouble = "unproven"
)

// notices are troubles that say nothing against the records themselves.
var notices = map[Trouble]bool{Silent: true, Clock: true, Unproven: true}

// Problem is something that [Fleet.Verify] found in the records of a journal.
type Problem struct {
	Trouble Trouble `json:"trouble"`
	// From and Through are the records that it is about; 0 for none.
	From    int64  `json:"from,omitempty"`
	Through int64  `json:"through,omitempty"`
	Text    string `json:"text"`
}

// Run is what is known of one run of a kernel.
type Run struct {
	Boot    string    `json:"boot"`
	From    int64     `json:"from"` // the first record
	Through int64     `json:"through"`
	Records int64     `json:"records"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// Verified is what was found about one journal.
type Verified struct {
	Journal  string    `json:"journal"`
	Hosts    []Host    `json:"hosts"`
	OK       bool      `json:"ok"`
	From     int64     `json:"from"` // the first record that is there
	Through  int64     `json:"through"`
	Records  int64     `json:"records"` // that are there, each once
	Missing  int64     `json:"missing"`
	Removed  int64     `json:"removed"` // by retention, as records say
	Repeated int64     `json:"repeated"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Runs     []Run     `json:"runs"`
	Problems []Problem `json:"problems"`
	More     int       `json:"more,omitempty"` // problems besides
	lastKind journal.Kind
	dropped  int // runs besides
}

// Host gives the machine, as far as it is one.
func (v *Verified) Host() Host {
	if len(v.Hosts) == 0 {
		return Host{}
	}
	return v.Hosts[0]
}

// Report is what [Fleet.Verify] found.
type Report struct {
	OK       bool        `json:"ok"`
	Hosts    int         `json:"hosts"`
	Records  int64       `json:"records"`
	Missing  int64       `json:"missing"`
	Journals []*Verified `json:"journals"`
}

// VerifyOptions are for [Fleet.Verify].
type VerifyOptions struct {
	// Anchors are compared with the records of their journals.
	Anchors []journal.Anchor
	// SilentAfter is how long a machine may have sent nothing; a day if zero.
	SilentAfter time.Duration
	// Now is the time; that of the call if zero.
	Now time.Time
}

// Bounds of what is kept of one journal.
const (
	maxProblems = 1000
	maxRuns     = 10000
)

// Verify reads all records, and says of each journal whether it is complete and as it was
// written. An error says that it could not look.
func (f *Fleet) Verify(ctx context.Context, o *VerifyOptions) (*Report, error) {
	if o == nil {
		o = new(VerifyOptions)
	}
	sorted, err := newSpool(ctx)
	if err != nil {
		return nil, err
	}
	defer sorted.close()
	v := newVerifier(o)
	for r, err := range f.records(ctx, query{}) {
		if err != nil {
			return nil, err
		}
		if err := v.see(r); err != nil {
			v.unreadable(r, err)
		}
		if r.head != nil {
			continue
		}
		if err := sorted.put(ctx, r); err != nil {
			return nil, err
		}
	}
	if err := sorted.each(ctx, v.step); err != nil {
		return nil, err
	}
	return v.finish(), nil
}

// verifier walks along the records of all journals, one journal after the other.
type verifier struct {
	now     time.Time
	silent  time.Duration
	anchors map[string][]journal.Anchor
	gone    map[string][]journal.Span // what retention removed, by what records say
	chain   *chain
	all     []*Verified
}

func newVerifier(o *VerifyOptions) *verifier {
	v := &verifier{
		now: o.Now, silent: cmp.Or(o.SilentAfter, 24*time.Hour),
		anchors: map[string][]journal.Anchor{}, gone: map[string][]journal.Span{},
	}
	if v.now.IsZero() {
		v.now = time.Now()
	}
	for _, a := range o.Anchors {
		v.anchors[a.Journal] = append(v.anchors[a.Journal], a)
	}
	return v
}

// see notes what the order of the records has nothing to do with. Only a record that is as it was
// written can say that others were removed.
func (v *verifier) see(r *Record) error {
	if r.head != nil {
		if r.head.Count > 0 {
			v.anchors[r.Journal] = append(v.anchors[r.Journal], *r.head)
		}
		return nil
	}
	if r.Changed != "" || r.Unproven {
		return nil
	}
	spans, err := r.Gone()
	if err == nil && spans != nil {
		v.gone[r.Journal] = merge(append(v.gone[r.Journal], spans...))
	}
	return err
}

func (v *verifier) unreadable(r *Record, err error) { r.Changed = err.Error() }

// merge joins runs of numbers that touch.
func merge(spans []journal.Span) []journal.Span {
	slices.SortFunc(spans, func(a, b journal.Span) int { return cmp.Compare(a.From, b.From) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.From <= out[n-1].Through+1 {
			out[n-1].Through = max(out[n-1].Through, s.Through)
		} else if s.Through >= s.From {
			out = append(out, s)
		}
	}
	return out
}

func (v *verifier) step(i *item) {
	if v.chain == nil || v.chain.v.Journal != i.journal {
		v.end()
		v.chain = newChain(i.journal, v.gone[i.journal], v.anchors[i.journal], v.now)
	}
	v.chain.step(i)
}

// end judges a journal of which all is known.
func (v *verifier) end() {
	if v.chain == nil {
		return
	}
	one := v.chain.finish()
	if ago := v.now.Sub(one.Last); ago > v.silent && one.lastKind != journal.KindStopped {
		v.chain.problem(Silent, one.Through, one.Through, "nothing came since %s, and no record says that the watching ended", one.Last.UTC().Format(time.RFC3339))
	}
	v.all = append(v.all, one)
	v.chain = nil
}

func (v *verifier) finish() *Report {
	v.end()
	findClones(v.all)
	r := &Report{OK: true, Journals: v.all}
	if r.Journals == nil {
		r.Journals = []*Verified{}
	}
	hosts := map[string]bool{}
	for _, one := range v.all {
		one.OK = !slices.ContainsFunc(one.Problems, func(p Problem) bool { return !notices[p.Trouble] })
		r.OK = r.OK && one.OK
		r.Records += one.Records
		r.Missing += one.Missing
		for _, h := range one.Hosts {
			hosts[h.key()] = true
		}
	}
	r.Hosts = len(hosts)
	slices.SortFunc(v.all, func(a, b *Verified) int {
		return cmp.Or(strings.Compare(a.Host().String(), b.Host().String()), a.First.Compare(b.First), strings.Compare(a.Journal, b.Journal))
	})
	return r
}
