package history

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// RecordFormat is how answers of the journal are printed.
type RecordFormat struct{ json, CSV bool }

// Register adds the flags to a command.
func (f *RecordFormat) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON object on each line (docs/schema/record.schema.json, first.schema.json); for --loaded-at one object (loaded.schema.json)")
	cmd.Flags().BoolVar(&f.CSV, "csv", false, "print comma-separated values (RFC 4180)")
}

func (f *RecordFormat) check() error {
	if f.json && f.CSV {
		return cli.Usagef("--json and --csv are mutually exclusive")
	}
	return nil
}

func (f *RecordFormat) isText() bool { return !f.json && !f.CSV }

func (f *RecordFormat) printer(ctx context.Context, r *journal.Reader, out io.Writer, now time.Time) (recordPrinter, error) {
	switch {
	case f.json:
		return RecordJSONPrinter{}, nil
	case f.CSV:
		return RecordCSVPrinter{}, nil
	}
	size, err := r.Size(ctx)
	return NewText(term.ThemeOf(out), term.Columns(out), now, size.Last), err
}

// changedFlags names the flags that were given.
func changedFlags(cmd *cobra.Command) (names []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// Document is a record as JSON, of which a terminal makes nothing else.
func Document(r *journal.Record, changed bool) journal.Document {
	d := r.Document()
	d.Changed, d.Raw = changed, cells.Printable(d.Raw)
	return d
}

// RecordJSONPrinter prints records as JSON, one a line.
type RecordJSONPrinter struct{}

func (RecordJSONPrinter) begin(io.Writer) error { return nil }

// Record prints a record; changed says that it is not as it was written.
func (RecordJSONPrinter) Record(w io.Writer, r *journal.Record, changed bool) error {
	return WriteJSONLine(w, Document(r, changed))
}

// WriteJSONLine prints a value as one line of JSON.
func WriteJSONLine(w io.Writer, v any) error {
	text, err := term.JSONLine(v)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// csvColumn is a column: its name, and its text of a record.
type csvColumn[T any] struct {
	name string
	of   func(*T) string
}

// ColumnsText lists columns for a help text.
func ColumnsText[T any](columns []csvColumn[T]) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(cells.Wrap(strings.Join(names, ", "), 90), "\n") + ";"
}

// csvRecord is a record, and what it says.
type csvRecord struct {
	*journal.Record
	changed bool
	action  *record.Record // of an action that can be read; else nil
}

// RecordColumns are the columns of records in CSV.
func RecordColumns() []csvColumn[csvRecord] {
	return []csvColumn[csvRecord]{
		{"seq", func(r *csvRecord) string { return strconv.FormatInt(r.Seq, 10) }},
		{"id", func(r *csvRecord) string { return r.ID }},
		{"time", func(r *csvRecord) string { return utcText(r.Time) }},
		{"boot", func(r *csvRecord) string { return r.Boot }},
		{"kind", func(r *csvRecord) string { return string(r.Kind) }},
		{"action", func(r *csvRecord) string { return r.Action }},
		{"module", func(r *csvRecord) string { return r.Module }},
		{"outcome", func(r *csvRecord) string { return r.Outcome }},
		{"errno", func(r *csvRecord) string { return r.errno() }},
		{"cause", func(r *csvRecord) string { return r.Cause }},
		{"user", func(r *csvRecord) string { return r.User }},
		{"uid", func(r *csvRecord) string { return uidText(r.UID) }},
		{"process", func(r *csvRecord) string { return r.process() }},
		{"container", func(r *csvRecord) string { return r.Container }},
		{"file", func(r *csvRecord) string { return r.File }},
		{"content", func(r *csvRecord) string { return r.Content }},
		{"count", func(r *csvRecord) string { return countText(r.Count) }},
		{"text", func(r *csvRecord) string { return r.text() }},
		{"changed", func(r *csvRecord) string { return yesOrNo(r.changed) }},
		{"hash", func(r *csvRecord) string { return r.Hash.String() }},
	}
}

func (r *csvRecord) errno() string {
	if r.action == nil {
		return ""
	}
	return r.action.ErrnoName
}

func (r *csvRecord) process() string {
	if r.action == nil {
		return ""
	}
	return fmt.Sprintf("%s[%d]", r.action.Thread.Comm, r.action.Thread.PID)
}

// text is why an action failed, or what a gap is.
func (r *csvRecord) text() string {
	switch {
	case r.action != nil && r.action.Cause != nil:
		return r.action.Cause.Text
	case r.Kind == journal.KindAction, r.Kind == journal.KindPending:
		return ""
	}
	return NoteText(r.Record)
}

func utcText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func uidText(uid *uint32) string {
	if uid == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*uid), 10)
}

func countText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// RecordCSVPrinter prints records as CSV.
type RecordCSVPrinter struct{}

func (RecordCSVPrinter) begin(w io.Writer) error { return csvHeader(w, RecordColumns()) }

// Record prints a record; changed says that it is not as it was written.
func (RecordCSVPrinter) Record(w io.Writer, r *journal.Record, changed bool) error {
	return csvLine(w, RecordColumns(), &csvRecord{r, changed, ActionOf(r)})
}

// ActionOf gives what a record says of an action; nil where it cannot be read.
func ActionOf(r *journal.Record) *record.Record {
	if r.Kind != journal.KindAction && r.Kind != journal.KindPending {
		return nil
	}
	a, err := record.Parse(r.Body)
	if err != nil || a.Kind == 0 {
		return nil
	}
	a.Time = r.Time.Local()
	return a
}

func csvHeader[T any](w io.Writer, columns []csvColumn[T]) error {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.name
	}
	return WriteCSV(w, cells)
}

func csvLine[T any](w io.Writer, columns []csvColumn[T], of *T) error {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.of(of)
	}
	return WriteCSV(w, cells)
}

// WriteCSV prints a line of CSV. It quotes every cell, where encoding/csv quotes only what RFC 4180 requires:
// where a semicolon or a tabulator divides columns, "a;=1+1" would be two.
func WriteCSV(w io.Writer, cells []string) error {
	var b bytes.Buffer
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(csvText(cell), `"`, `""`))
		b.WriteByte('"')
	}
	b.WriteString("\r\n")
	_, err := w.Write(b.Bytes())
	return err
}

// csvText makes text of what a spreadsheet would take for a formula, also in the wide
// letters of East Asia. Whoever takes the ' away again from before what has one has the
// text as it was.
func csvText(s string) string {
	s = cells.Printable(s)
	first := []rune(strings.TrimLeft(s, " ") + " ")[0]
	if slices.Contains([]rune("'=+-@＝＋－＠"), first) {
		return "'" + s
	}
	return s
}
