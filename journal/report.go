package journal

import (
	"cmp"
	"fmt"
	"slices"
)

// Trouble says what is wrong with records.
type Trouble string

// The troubles.
const (
	// Changed: a record is not as it was written.
	Changed Trouble = "changed"
	// Removed: records are missing.
	Removed Trouble = "removed"
	// Moved: records are whole, but stand at other numbers than theirs.
	Moved Trouble = "moved"
	// Inserted: records are there that were not appended.
	Inserted Trouble = "inserted"
	// Rewritten: the chain is whole, but another one than that of an anchor.
	Rewritten Trouble = "rewritten"
	// Ended: the number or hash of the last record is kept wrong.
	Ended Trouble = "ended"
	// Damaged: a part of the file cannot be read, or contradicts another.
	Damaged Trouble = "damaged"
	// Derived: what is kept beside the records, to find them, does not agree with them.
	Derived Trouble = "derived"
)

// Problem is something that [Reader.Verify] found.
type Problem struct {
	Trouble Trouble
	// Seq and Through are the numbers of the first and the last record that it is about;
	// zero where it is about none.
	Seq, Through int64
	Text         string // one sentence
}

// String gives the records, what is wrong, and the sentence.
func (p Problem) String() string {
	switch {
	case p.Seq == 0 && p.Through == 0:
		return fmt.Sprintf("%s: %s", p.Trouble, p.Text)
	case p.Seq == p.Through:
		return fmt.Sprintf("record %d %s: %s", p.Seq, p.Trouble, p.Text)
	}
	return fmt.Sprintf("records %d to %d %s: %s", p.Seq, p.Through, p.Trouble, p.Text)
}

// Report is what [Reader.Verify] found.
type Report struct {
	Journal string // its name
	Records int64  // how many there are
	First   int64  // the number of the oldest
	Last    Anchor // how it ends, without a time
	Removed int64  // retention has removed the records up to this number
	Thinned int64  // and so many between those that are left
	// Anchors says how many of the anchors were compared. Those of other journals, and of
	// records that retention has removed, were not.
	Anchors int
	// Problems are in the order of the records; first those about none. More says how many
	// there are besides.
	Problems []Problem
	More     int
}

// OK tells whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// FirstBad gives the number of the first record with a problem; 0 if there is none.
func (r *Report) FirstBad() int64 {
	var first int64
	for _, p := range r.Problems {
		if p.Seq > 0 && (first == 0 || p.Seq < first) {
			first = p.Seq
		}
	}
	return first
}

// maxProblems is how many problems a report lists.
const maxProblems = 1000

// add takes a problem, joined to the last of its kind where it goes on.
func (r *Report) add(t Trouble, first, last int64, format string, args ...any) {
	if n := len(r.Problems); n > 0 && first != 0 {
		p := &r.Problems[n-1]
		if p.Trouble == t && p.Through == first-1 && (t == Moved || t == Changed || t == Inserted) {
			p.Through = last
			return
		}
	}
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, Problem{t, first, last, fmt.Sprintf(format, args...)})
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Compare(a.Seq, b.Seq) })
}
