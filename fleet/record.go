package fleet

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Host is a machine.
type Host struct {
	// ID is hashed from its machine-id; empty where it has none, and where a source does not
	// say.
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Kernel string `json:"kernel,omitempty"` // its release
}

// String names it for people.
func (h Host) String() string { return cmp.Or(h.Name, h.ID, "?") }

// key tells machines apart. A copy has the same ID and mostly another name.
func (h Host) key() string { return h.ID + "\x00" + h.Name }

// Record is a record of a machine's journal.
type Record struct {
	journal.Record
	Host    Host
	Journal string // its name
	// Changed says why it is not as it was written; empty where it is.
	Changed string
	// Unproven says that its source does not have all that its hash is over.
	Unproven bool
	// head is the end of the journal according to its file. An entry with a head has no record.
	head *journal.Anchor
}

// query selects records.
type query struct {
	until           time.Time // not after it; zero for any
	module, content string    // those of one
}

func (q *query) has(r *Record) bool {
	return (q.until.IsZero() || !r.Time.After(q.until)) && (q.module == "" || r.Module == q.module) && (q.content == "" || r.Content == q.content)
}

// whole tells whether all records are asked for.
func (q *query) whole() bool { return *q == query{} }

// source gives records, in any order, and more than once where it has them so.
type source interface {
	records(ctx context.Context, q query) iter.Seq2[*Record, error]
}

// shows tells whether a record is one of a module that was there, or was tried.
func shows(r *Record) bool {
	switch r.Kind {
	case journal.KindAction:
		return r.Action != journal.Request
	case journal.KindPresent, journal.KindAppeared:
		return true
	}
	return false
}
