// Package fleets prints what package fleet answers: as text, JSON or CSV.
package fleets

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/spf13/cobra"
)

// Format is how answers are printed.
type Format struct{ JSON, CSV bool }

// Register adds the flags to a command. The schema is that of an object of the answer.
func (f *Format) Register(cmd *cobra.Command, schema string) {
	cmd.Flags().BoolVar(&f.JSON, "json", false, "print a JSON object on each line (docs/schema/"+schema+".schema.json)")
	cmd.Flags().BoolVar(&f.CSV, "csv", false, "print comma-separated values (RFC 4180)")
}

// Check refuses both at once.
func (f *Format) Check() error {
	if f.JSON && f.CSV {
		return cli.Usagef("--json and --csv are mutually exclusive")
	}
	return nil
}

// Column is a column of an answer. Text shows those with a heading, CSV all.
type Column[T any] struct {
	Name    string
	Heading string
	Of      func(*T) string
	Text    func(*T) string // for people, where that is another text
}

// Print prints the rows of an answer.
func Print[T any](out io.Writer, f Format, columns []Column[T], rows []T) error {
	return term.PrintTo(out, func(w io.Writer) error {
		switch {
		case f.JSON:
			for i := range rows {
				if err := history.WriteJSONLine(w, &rows[i]); err != nil {
					return err
				}
			}
			return nil
		case f.CSV:
			return printCSV(w, columns, rows)
		}
		return printText(w, term.Width(out), columns, rows)
	})
}

func printCSV[T any](w io.Writer, columns []Column[T], rows []T) error {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.Name
	}
	if err := history.WriteCSV(w, cells); err != nil {
		return err
	}
	for i := range rows {
		for k, c := range columns {
			cells[k] = c.Of(&rows[i])
		}
		if err := history.WriteCSV(w, cells); err != nil {
			return err
		}
	}
	return nil
}

func printText[T any](w io.Writer, width int, columns []Column[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	t := term.Table{Width: width}
	for _, c := range columns {
		if c.Heading != "" {
			t.Header = append(t.Header, c.Heading)
		}
	}
	for i := range rows {
		var cells []string
		for _, c := range columns {
			switch {
			case c.Heading == "":
			case c.Text != nil:
				cells = append(cells, c.Text(&rows[i]))
			default:
				cells = append(cells, c.Of(&rows[i]))
			}
		}
		t.Rows = append(t.Rows, cells)
	}
	return t.Print(w)
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func people(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return history.DateTime(t)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func short(hash string) string { return hash[:min(len(hash), 12)] }

func shortAll(hashes []string) string {
	all := make([]string, len(hashes))
	for i, h := range hashes {
		all[i] = short(h)
	}
	return strings.Join(all, ",")
}

func decimal[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// hostName names a machine for people; a journal where its machine is not known.
func hostName(h fleet.Host, journal string) string {
	if h.Name == "" && h.ID == "" {
		return "journal " + short(journal)
	}
	return h.String()
}
