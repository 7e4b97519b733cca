package fleets

import (
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

// runRow is one run of a kernel in CSV, or one problem.
type runRow struct {
	*fleet.Verified
	run     *fleet.Run
	problem *fleet.Problem
}

func verifyColumns() []Column[runRow] {
	of := func(r *runRow, run func(*fleet.Run) string, problem func(*fleet.Problem) string) string {
		if r.run != nil {
			return run(r.run)
		}
		return problem(r.problem)
	}
	none := func(*fleet.Problem) string { return "" }
	return []Column[runRow]{
		{Name: "host", Of: func(r *runRow) string { return r.Host().Name }},
		{Name: "host_id", Of: func(r *runRow) string { return r.Host().ID }},
		{Name: "journal", Of: func(r *runRow) string { return r.Journal }},
		{Name: "boot", Of: func(r *runRow) string { return of(r, func(u *fleet.Run) string { return u.Boot }, none) }},
		{Name: "trouble", Of: func(r *runRow) string {
			return of(r, func(*fleet.Run) string { return "" }, func(p *fleet.Problem) string { return string(p.Trouble) })
		}},
		{Name: "from", Of: func(r *runRow) string {
			return of(r, func(u *fleet.Run) string { return decimal(u.From) }, func(p *fleet.Problem) string { return decimal(p.From) })
		}},
		{Name: "through", Of: func(r *runRow) string {
			return of(r, func(u *fleet.Run) string { return decimal(u.Through) }, func(p *fleet.Problem) string { return decimal(p.Through) })
		}},
		{Name: "records", Of: func(r *runRow) string { return of(r, func(u *fleet.Run) string { return decimal(u.Records) }, none) }},
		{Name: "first", Of: func(r *runRow) string { return of(r, func(u *fleet.Run) string { return utc(u.First) }, none) }},
		{Name: "last", Of: func(r *runRow) string { return of(r, func(u *fleet.Run) string { return utc(u.Last) }, none) }},
		{Name: "text", Of: func(r *runRow) string {
			return of(r, func(*fleet.Run) string { return "" }, func(p *fleet.Problem) string { return p.Text })
		}},
	}
}

// PrintReport prints what fleet verify found: a line for each journal, its problems below it, and
// the sum.
func PrintReport(out io.Writer, f Format, r *fleet.Report) error {
	switch {
	case f.JSON:
		return term.PrintTo(out, func(w io.Writer) error { return history.WriteJSONLine(w, r) })
	case f.CSV:
		var rows []runRow
		for _, v := range r.Journals {
			for i := range v.Runs {
				rows = append(rows, runRow{Verified: v, run: &v.Runs[i]})
			}
			for i := range v.Problems {
				rows = append(rows, runRow{Verified: v, problem: &v.Problems[i]})
			}
		}
		return Print(out, f, verifyColumns(), rows)
	}
	return term.PrintTo(out, func(w io.Writer) error {
		for _, v := range r.Journals {
			if err := printVerified(w, v); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s on %s: %d missing\n", cells.Plural(r.Records, "record"), cells.Plural(r.Hosts, "host"), r.Missing)
		return err
	})
}

// shown bounds the problems of a journal that text shows.
const shown = 20

func printVerified(w io.Writer, v *fleet.Verified) error {
	state := "complete"
	switch {
	case !v.OK:
		state = "not in order"
	case v.Removed > 0:
		state = fmt.Sprintf("complete, but for %s that retention removed", cells.Plural(v.Removed, "record"))
	}
	repeated := ""
	if v.Repeated > 0 {
		repeated = fmt.Sprintf(", %d of them repeated", v.Repeated)
	}
	_, err := fmt.Fprintf(w, "%s: records %d to %d of journal %s, %s to %s, %s: %s%s\n", cells.Printable(hostName(v.Host(), v.Journal)), v.From, v.Through,
		cells.Printable(short(v.Journal)), people(v.First), people(v.Last), cells.Plural(len(v.Runs), "boot"), state, repeated)
	for i, p := range v.Problems {
		if i == shown {
			_, err = fmt.Fprintf(w, "  and %d more\n", len(v.Problems)-shown+v.More)
			break
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s: %s\n", p.Trouble, cells.Printable(p.Text))
		}
	}
	return err
}
