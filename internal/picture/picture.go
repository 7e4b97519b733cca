// Package picture draws what was done with a module where a command line asks for it: on a terminal,
// and into files.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Options are those of the commands that can draw what happened.
type Options struct {
	Timeline  bool
	svg, html string
	flags     *pflag.FlagSet
}

// Register adds the flags.
func (o *Options) Register(cmd *cobra.Command) {
	o.flags = cmd.Flags()
	cmd.Flags().BoolVar(&o.Timeline, "timeline", false, "print the stages to scale instead of the usual report")
	cmd.Flags().StringVar(&o.svg, "svg", "", "also draw the timeline into `FILE` as an SVG picture; - prints only that")
	cmd.Flags().StringVar(&o.html, "html", "", "also write the timeline into `FILE` as an HTML page with tables; - prints only that")
}

// Wanted tells whether there is anything to draw.
func (o *Options) Wanted() bool { return o.Timeline || o.svg != "" || o.html != "" }

// Alone tells whether standard output is for a picture.
func (o *Options) Alone() bool { return o.svg == "-" || o.html == "-" }

// Check refuses what cannot be on standard output together.
func (o *Options) Check(json bool) error {
	for name, file := range map[string]string{"svg": o.svg, "html": o.html} {
		if file == "" && o.flags.Changed(name) {
			return cli.Usagef("--%s: must be the name of a file, or -", name)
		}
	}
	var printed []string
	for flag, is := range map[string]bool{"--json": json, "--timeline": o.Timeline, "--svg -": o.svg == "-", "--html -": o.html == "-"} {
		if is {
			printed = append(printed, flag)
		}
	}
	switch {
	case len(printed) > 1:
		slices.Sort(printed)
		return cli.Usagef("%s are mutually exclusive", strings.Join(printed, " and "))
	case o.svg != "" && o.html != "" && sameFile(o.svg, o.html):
		return cli.Usagef("--svg and --html name the same file, %s", cells.Short(o.svg))
	}
	return nil
}

// sameFile tells whether two names are of one file, which may not be there yet.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(one, other) && one.Mode().IsRegular()
}

// Files are the files to be drawn into, opened before anything is done: who asked
// for a picture of what happens but once learns in time that there can be none.
type Files struct{ svg, html *outfile.File }

// Open opens the files that are wanted.
func (o *Options) Open() (*Files, error) {
	f := new(Files)
	for _, one := range []struct {
		path string
		file **outfile.File
	}{{o.svg, &f.svg}, {o.html, &f.html}} {
		if one.path == "" || one.path == "-" {
			continue
		}
		file, err := outfile.Create(one.path)
		if err != nil {
			f.Abandon()
			return nil, err
		}
		*one.file = file
	}
	return f, nil
}

// Abandon leaves those files as they were that were not drawn into.
func (f *Files) Abandon() {
	f.svg.Abandon()
	f.html.Abandon()
}

// Draw writes the pictures that are wanted, other than on a terminal.
func (o *Options) Draw(out io.Writer, p *timeline.Picture, files *Files) error {
	var errs []error
	for _, one := range []struct {
		path  string
		file  *outfile.File
		write func(io.Writer) error
	}{{o.svg, files.svg, p.SVG}, {o.html, files.html, p.HTML}} {
		if one.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := one.write(&b); err != nil {
			errs = append(errs, fmt.Errorf("draw %s: %w", cells.Short(one.path), err))
			continue
		}
		if one.path == "-" {
			_, err := out.Write(b.Bytes())
			errs = append(errs, term.OutputError(err))
			continue
		}
		errs = append(errs, one.file.Commit(b.Bytes()))
	}
	return errors.Join(errs...)
}

// Missing says that there is no picture of what was done; where it was refused, that says
// enough.
func (o *Options) Missing(p *timeline.Picture, r *proof.Result) error {
	if p != nil || !o.Wanted() || r.Verdict != proof.Confirmed {
		return nil
	}
	return fmt.Errorf("draw %s: there is no action to draw", cells.Short(r.Target))
}

// Text gives a picture for a terminal.
func Text(out io.Writer, p *timeline.Picture) string {
	return Painted(term.ThemeOf(out), p.Text(&timeline.TextOptions{Columns: term.Columns(out), ASCII: term.ASCIIOnly()}))
}

// Painted gives lines of a picture with their colours.
func Painted(t term.Theme, lines []timeline.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Painted(t))
	}
	return b.String()
}

// DrawRecord draws a recorded action: nothing is known of it but what was recorded.
func (o *Options) DrawRecord(out io.Writer, a *record.Record) error {
	files, err := o.Open()
	if err != nil {
		return err
	}
	defer files.Abandon()
	p := timeline.New([]record.Record{*a})
	if o.Timeline {
		if _, err := io.WriteString(out, Text(out, p)); err != nil {
			return term.OutputError(err)
		}
	}
	return o.Draw(out, p, files)
}
