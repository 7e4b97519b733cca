package rules

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/explain"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/rs/zerolog"
)

// Test runs the rules' own tests, and then says what the rules find in files of what watch --json
// printed, or in the journal.
func (o *Options) Test(ctx context.Context, files []string, ofJournal bool, stdin io.Reader, out io.Writer) error {
	atLeast, err := filter.ParseSeverity(o.AtLeast)
	if err != nil {
		return err
	}
	var since time.Time
	if o.Since != "" {
		if since, err = history.ParseTime(o.Since, time.Now()); err != nil {
			return cli.Usagef("--since %w", err)
		}
	}
	set, err := Load(o.Paths)
	if err != nil {
		return err
	}
	failures, tests := set.Test()
	for _, f := range failures {
		zerolog.Ctx(ctx).Error().Msg(f.Error())
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d of %s failed", len(failures), cells.Plural(tests, "test"))
	}
	zerolog.Ctx(ctx).Info().Msgf("%s of %s passed", cells.Plural(tests, "test"), cells.Plural(len(set.Rules()), "rule"))
	if len(files) == 0 && !ofJournal {
		return nil
	}
	p := &replay{
		Options: o, findings: set.Begin(), since: since, atLeast: atLeast, log: zerolog.Ctx(ctx), count: make(map[rule.Severity]int),
		text: render.NewResultText(term.ThemeOf(out), term.Columns(out)),
	}
	return term.PrintTo(out, func(w io.Writer) error {
		p.out = w
		if err := p.all(ctx, files, stdin); err != nil {
			return err
		}
		p.end()
		return nil
	})
}

// replay looks at records of the past.
type replay struct {
	*Options
	findings *rule.Findings
	out      io.Writer
	text     *render.ResultText
	since    time.Time
	atLeast  rule.Severity
	log      *zerolog.Logger
	records  int
	count    map[rule.Severity]int
}

func (p *replay) all(ctx context.Context, files []string, stdin io.Reader) error {
	if len(files) == 0 {
		return history.WithJournal(p.Journal, func(r *journal.Reader) error { return p.journal(ctx, r) })
	}
	for _, name := range files {
		if err := p.file(name, stdin); err != nil {
			return err
		}
	}
	return nil
}

// journal takes all records: the rules remember those before --since too.
func (p *replay) journal(ctx context.Context, r *journal.Reader) error {
	for rec, err := range r.Query(ctx, journal.Filter{Kinds: []journal.Kind{journal.KindAction}, OldestFirst: true}) {
		if err != nil {
			return err
		}
		if a := history.ActionOf(&rec); a != nil {
			if err := p.add(a, rec.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *replay) file(name string, stdin io.Reader) error {
	in, shown := stdin, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in, shown = f, cells.Short(name)
	}
	return explain.Records(in, shown, func(r *record.Record) error { return p.add(r, "") })
}

// add looks at a record; id is the journal's.
func (p *replay) add(r *record.Record, id string) error {
	p.records++
	found, stopped := p.findings.Add(r)
	if stopped != nil {
		p.log.Warn().Msg(stopped.Error())
	}
	for i := range found {
		f := &found[i]
		f.Record = id
		if f.Time.Before(p.since) || !f.Severity.AtLeast(p.atLeast) {
			continue
		}
		p.count[f.Severity]++
		if err := p.print(f); err != nil {
			return err
		}
	}
	return nil
}

func (p *replay) print(f *rule.Finding) error {
	if p.JSON {
		return term.PrintJSONLine(p.out, f)
	}
	_, err := io.WriteString(p.out, p.text.Finding(f))
	return err
}

// end says how much was looked at and found.
func (p *replay) end() {
	total := 0
	var parts []string
	for _, s := range slices.Backward(rule.Severities()) {
		if n := p.count[s]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	text := fmt.Sprintf("%s: %s", cells.Plural(p.records, "record"), cells.Plural(total, "finding"))
	if total > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	p.log.Info().Msg(text)
}
