package main

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
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/spf13/cobra"
)

// pictureOptions are those of the commands that can draw what happened.
type pictureOptions struct {
	timeline  bool
	svg, html string
}

func (o *pictureOptions) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.timeline, "timeline", false, "print what happened to scale, stage by stage, instead")
	cmd.Flags().StringVar(&o.svg, "svg", "", "also draw that into `FILE` as an SVG picture; - prints it, and nothing else")
	cmd.Flags().StringVar(&o.html, "html", "", "also write that into `FILE` as a page with tables; - prints it, and nothing else")
}

// wanted tells whether there is anything to draw.
func (o *pictureOptions) wanted() bool { return o.timeline || o.svg != "" || o.html != "" }

// alone tells whether standard output is for a picture.
func (o *pictureOptions) alone() bool { return o.svg == "-" || o.html == "-" }

// check refuses what cannot be on standard output together.
func (o *pictureOptions) check(cmd *cobra.Command, json bool) error {
	for name, file := range map[string]string{"svg": o.svg, "html": o.html} {
		if file == "" && cmd.Flags().Changed(name) {
			return cli.Usagef("--%s: want the name of a file, or -", name)
		}
	}
	var printed []string
	for flag, is := range map[string]bool{"--json": json, "--timeline": o.timeline, "--svg -": o.svg == "-", "--html -": o.html == "-"} {
		if is {
			printed = append(printed, flag)
		}
	}
	switch {
	case len(printed) > 1:
		slices.Sort(printed)
		return cli.Usagef("%s print different things: want one of them", strings.Join(printed, " and "))
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

// pictureFiles are the files to be drawn into, opened before anything is done: who asked
// for a picture of what happens but once learns in time that there can be none.
type pictureFiles struct{ svg, html *outfile.File }

func (o *pictureOptions) open() (*pictureFiles, error) {
	f := new(pictureFiles)
	for _, one := range []struct {
		path string
		file **outfile.File
	}{{o.svg, &f.svg}, {o.html, &f.html}} {
		if one.path == "" || one.path == "-" {
			continue
		}
		file, err := outfile.Create(one.path)
		if err != nil {
			f.abandon()
			return nil, err
		}
		*one.file = file
	}
	return f, nil
}

func (f *pictureFiles) abandon() {
	f.svg.Abandon()
	f.html.Abandon()
}

// draw writes the pictures that are wanted, other than on a terminal.
func (o *pictureOptions) draw(out io.Writer, p *timeline.Picture, files *pictureFiles) error {
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

// missing says that there is no picture of what was done; where it was refused, that says
// enough.
func (o *pictureOptions) missing(p *timeline.Picture, r *proof.Result) error {
	if p != nil || !o.wanted() || r.Verdict != proof.Confirmed {
		return nil
	}
	return fmt.Errorf("draw %s: nothing was done for it that could be drawn", cells.Short(r.Target))
}

// timelineText gives a picture for a terminal.
func timelineText(out io.Writer, p *timeline.Picture) string {
	return paintedLines(term.ThemeOf(out), p.Text(&timeline.TextOptions{Columns: term.Columns(out), ASCII: term.ASCIIOnly()}))
}

func paintedLines(t term.Theme, lines []timeline.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Painted(t))
	}
	return b.String()
}

// drawRecord draws a recorded action: nothing is known of it but what was recorded.
func (o *pictureOptions) drawRecord(out io.Writer, rec *journal.Record) error {
	if !o.wanted() {
		return nil
	}
	a := history.ActionOf(rec)
	if a == nil {
		return fmt.Errorf("record %d: it is no action that can be read (%s): there is nothing to draw", rec.Seq, rec.Kind)
	}
	files, err := o.open()
	if err != nil {
		return err
	}
	defer files.abandon()
	p := timeline.New([]record.Record{*a})
	if o.timeline {
		if _, err := io.WriteString(out, timelineText(out, p)); err != nil {
			return term.OutputError(err)
		}
	}
	return o.draw(out, p, files)
}
