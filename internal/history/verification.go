package history

import (
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/journal"
)

// Verification is what audit verify found.
type Verification struct {
	Path    string `json:"path"`
	Journal string `json:"journal"` // its own name
	OK      bool   `json:"ok"`
	Records int64  `json:"records"`
	First   int64  `json:"first"`   // the number of the oldest; 0: there is none
	Removed int64  `json:"removed"` // retention has removed the records up to this number
	Thinned int64  `json:"thinned"` // and so many between those that are left
	// Last is how it ends: the number and hash of the last record that is there.
	Last lastRecord `json:"last"`
	// Anchors are those given; Foreign are of other journals. Those that are neither
	// foreign nor compared are of records that retention has removed.
	Anchors  int             `json:"anchors"`
	Foreign  int             `json:"foreign_anchors"`
	Compared int             `json:"compared_anchors"`
	Problems []verifyProblem `json:"problems"`
	More     int             `json:"more_problems"` // that are not listed
}

type lastRecord struct {
	Seq  int64       `json:"seq"`
	Hash journal.Sum `json:"hash"`
}

type verifyProblem struct {
	Trouble journal.Trouble `json:"trouble"`
	// Seq and Through are the first and the last record that it is about; absent where it
	// is about none.
	Seq     int64  `json:"seq,omitempty"`
	Through int64  `json:"through,omitempty"`
	Text    string `json:"text"`

	Line string `json:"-"`
}

// VerificationOf gives what is printed of a report.
func VerificationOf(path string, r *journal.Report, anchors []journal.Anchor) *Verification {
	v := &Verification{
		Path: path, Journal: r.Journal, Records: r.Records, First: r.First, Removed: r.Removed, Thinned: r.Thinned,
		Last: lastRecord{r.Last.Count, r.Last.Hash}, Anchors: len(anchors), Compared: r.Anchors,
		Problems: []verifyProblem{}, More: r.More,
	}
	for _, a := range anchors {
		if a.Journal != r.Journal {
			v.Foreign++
		}
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, verifyProblem{p.Trouble, p.Seq, p.Through, p.Text, p.String()})
	}
	v.OK = r.OK() && (v.Anchors == 0 || v.Compared > 0)
	return v
}

// Print gives a line for each problem, and what was checked.
func (v *Verification) Print(w io.Writer) error {
	for _, p := range v.Problems {
		fmt.Fprintln(w, cells.Printable(p.Line))
	}
	if v.More > 0 {
		fmt.Fprintf(w, "and %s more\n", cells.Plural(uint64(v.More), "problem"))
	}
	_, err := fmt.Fprintln(w, cells.Printable(v.summary()))
	return err
}

// summary says what there is, what is wrong, and what the anchors say.
func (v *Verification) summary() string {
	text := fmt.Sprintf("%s: %s", v.Path, cells.Plural(uint64(v.Records), "record"))
	if v.Records > 0 {
		text += fmt.Sprintf(" from number %d on", v.First)
	}
	switch n := len(v.Problems) + v.More; {
	case n > 0:
		text += ", " + cells.Plural(uint64(n), "problem")
	case v.Records == 1:
		text += " is as it was written"
	default:
		text += " are as they were written"
	}
	if v.Thinned > 0 {
		text += fmt.Sprintf("; retention has removed %d between them", v.Thinned)
	}
	if v.Compared > 0 {
		text += anchorsText(v.Compared, len(v.Problems) == 0)
	}
	if v.Foreign > 0 {
		text += fmt.Sprintf("; of another journal: %s", cells.Plural(uint64(v.Foreign), "anchor"))
	}
	if old := v.Anchors - v.Foreign - v.Compared; old > 0 {
		text += fmt.Sprintf("; of records that retention has removed: %s", cells.Plural(uint64(old), "anchor"))
	}
	return text
}

// Verdict says in one line whether the journal is as it was written.
func (v *Verification) Verdict() string {
	if len(v.Problems) == 0 {
		return "no anchor could be compared, so it is not known whether this is the journal that they are about"
	}
	return "the journal is not as it was written"
}

// Hint says what to do next.
func (v *Verification) Hint() string {
	switch {
	case len(v.Problems) > 0:
		return "records before the first of those can be trusted, those after it only as far as an anchor covers them"
	case v.Foreign == v.Anchors:
		return "the journal may have been replaced by another: this one is named " + cells.Printable(v.Journal)
	}
	return "take anchors of later records: retention has removed those that these are about"
}

func anchorsText(n int, agree bool) string {
	switch {
	case !agree:
		return fmt.Sprintf(", compared with %s", cells.Plural(uint64(n), "anchor"))
	case n == 1:
		return ", and the anchor agrees"
	}
	return fmt.Sprintf(", and %d anchors agree", n)
}
