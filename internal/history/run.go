// Package history asks a journal: which actions were recorded, what was never seen before, what was loaded at
// some time; and prints the answers as text, JSON or CSV.
package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// FirstSeenFlag is the name of the flag that asks for what was never seen before.
const FirstSeenFlag = "first-seen"

// Options are a question to a journal.
type Options struct {
	Journal             string
	Asked               Flags
	FirstSeen, LoadedAt string
	Limit               int
	Reverse             bool
	Format              RecordFormat
}

// Check tells which flags do not go together.
func (o *Options) Check(cmd *cobra.Command) error {
	if o.Limit < 0 {
		return cli.Usagef("--limit %d: must not be negative", o.Limit)
	}
	if err := o.Format.check(); err != nil {
		return err
	}
	if err := noEmptyFlag(cmd); err != nil {
		return err
	}
	allowed := []string{"journal", "json", "csv", cli.LogFlag}
	var alone string
	switch {
	case cmd.Flags().Changed("loaded-at"):
		alone, allowed = "loaded-at", append(allowed, "loaded-at")
	case cmd.Flags().Changed(FirstSeenFlag):
		alone, allowed = FirstSeenFlag, append(allowed, FirstSeenFlag, "since", "until", "limit", "reverse")
	default:
		return nil
	}
	for _, name := range changedFlags(cmd) {
		if !slices.Contains(allowed, name) {
			return cli.Usagef("--%s and --%s are mutually exclusive", alone, name)
		}
	}
	return nil
}

// noEmptyFlag refuses --user "$WHO" where there is no WHO: the answer would be about
// everybody.
func noEmptyFlag(cmd *cobra.Command) error {
	for _, name := range changedFlags(cmd) {
		switch cmd.Flags().Lookup(name).Value.String() {
		case "", "[]", "[\"\"]":
			return cli.Usagef("--%s \"\": must not be empty", name)
		}
	}
	return nil
}

// Run asks, and prints the answer.
func (o *Options) Run(ctx context.Context, out io.Writer) error {
	now := time.Now()
	wanted, err := o.Asked.parse(now)
	if err != nil {
		return err
	}
	switch {
	case o.FirstSeen != "":
		return o.showFirst(ctx, out, wanted)
	case o.LoadedAt != "":
		return o.showLoaded(ctx, out, now)
	}
	return WithJournal(o.Journal, func(r *journal.Reader) error {
		h := &historyRun{Options: o, r: r, wanted: wanted}
		return h.run(ctx, out, now)
	})
}

// historyRun is one question for records.
type historyRun struct {
	*Options
	r      *journal.Reader
	wanted *Selection

	gaps           journal.Filter // for the gaps of the time that is asked for
	shown, changed int
}

func (h *historyRun) run(ctx context.Context, out io.Writer, now time.Time) error {
	filter, some, err := h.wanted.resolve(ctx, h.r)
	if err != nil {
		return err
	}
	h.gaps = journal.Filter{Kinds: gapKinds(), Since: filter.Since, Until: filter.Until, Boots: filter.Boots}
	p, err := h.Format.printer(ctx, h.r, out, now)
	if err != nil {
		return err
	}
	if err := term.PrintTo(out, func(w io.Writer) error { return h.print(w, p, h.records(ctx, filter, some)) }); err != nil {
		return err
	}
	return h.end(ctx)
}

// recordPrinter prints records in one format, one after the other.
type recordPrinter interface {
	begin(io.Writer) error
	Record(io.Writer, *journal.Record, bool) error // whether it is not as it was written
}

func (h *historyRun) print(w io.Writer, p recordPrinter, records iter.Seq2[journal.Record, error]) error {
	if h.Format.CSV { // which has a header in any case
		if err := p.begin(w); err != nil {
			return err
		}
	}
	for rec, err := range records {
		changed := isChanged(&rec, err)
		if err != nil && !changed {
			return err
		}
		if changed {
			h.changed++
		}
		if h.shown == 0 && !h.Format.CSV {
			if err := p.begin(w); err != nil {
				return err
			}
		}
		h.shown++
		if err := p.Record(w, &rec, changed); err != nil {
			return err
		}
	}
	return nil
}

// isChanged tells the error of one record, after which there may be more, from one that
// ends the question.
func isChanged(rec *journal.Record, err error) bool {
	return errors.Is(err, journal.ErrCorrupt) && rec.Seq != 0
}

// records gives those asked for, with the gaps where these are asked for too. The newest
// ones in the order of old to new are asked for twice, first for their numbers: bodies can
// be long, and none is kept.
func (h *historyRun) records(ctx context.Context, f journal.Filter, some bool) iter.Seq2[journal.Record, error] {
	if h.Limit == 0 || h.Reverse {
		return h.stream(ctx, f, some, h.Reverse)
	}
	return func(yield func(journal.Record, error) bool) {
		var newest, oldest int64
		for rec, err := range h.stream(ctx, f, some, true) {
			if err != nil && !isChanged(&rec, err) {
				yield(rec, err)
				return
			}
			if oldest = rec.Seq; newest == 0 {
				newest = rec.Seq
			}
		}
		if newest == 0 {
			return
		}
		f.From, f.Through = oldest, newest
		gaps := h.gaps
		defer func() { h.gaps = gaps }()
		h.gaps.From, h.gaps.Through = oldest, newest
		h.stream(ctx, f, some, false)(yield)
	}
}

// stream gives them in one order.
func (h *historyRun) stream(ctx context.Context, f journal.Filter, some, newest bool) iter.Seq2[journal.Record, error] {
	records := func(func(journal.Record, error) bool) {}
	ask := func(f journal.Filter) iter.Seq2[journal.Record, error] {
		f.OldestFirst, f.Limit = !newest, h.Limit
		return h.r.Query(ctx, f)
	}
	if some {
		records = ask(f)
	}
	if h.wanted.gaps && h.wanted.ofActions() {
		records = merge(records, ask(h.gaps), newest)
	}
	if h.Limit > 0 {
		records = firstOf(records, h.Limit)
	}
	return records
}

// merge makes one stream of two that share no record, in the order of their numbers.
func merge(a, b iter.Seq2[journal.Record, error], newest bool) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		nextA, stopA := iter.Pull2(a)
		defer stopA()
		nextB, stopB := iter.Pull2(b)
		defer stopB()
		recA, errA, moreA := nextA()
		recB, errB, moreB := nextB()
		for moreA || moreB {
			if moreA && (!moreB || (recA.Seq > recB.Seq) == newest) {
				if !yield(recA, errA) {
					return
				}
				recA, errA, moreA = nextA()
				continue
			}
			if !yield(recB, errB) {
				return
			}
			recB, errB, moreB = nextB()
		}
	}
}

func firstOf(records iter.Seq2[journal.Record, error], n int) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		left := n
		for rec, err := range records {
			if left--; !yield(rec, err) || left == 0 {
				return
			}
		}
	}
}

// end says what the records do not.
func (h *historyRun) end(ctx context.Context) error {
	log := zerolog.Ctx(ctx)
	if h.shown == 0 {
		text, err := extentText(ctx, h.r)
		if err != nil {
			return err
		}
		log.Info().Msg("no such record: " + text)
	}
	if h.wanted.ofActions() && !h.wanted.gaps && h.Format.isText() {
		text, err := h.hiddenGaps(ctx)
		if err != nil {
			return err
		}
		if text != "" {
			log.Info().Msg(text)
		}
	}
	if h.changed > 0 {
		return ChangedError(h.changed)
	}
	return nil
}

// ChangedError says that records are not as they were written.
func ChangedError(n int) error {
	text := cells.Plural(uint64(n), "record") + " shown here are not as they were written"
	if n == 1 {
		text = "1 record shown here is not as it was written"
	}
	return cli.WithHint(errors.New(text), "kmodtrace audit verify shows what happened to them")
}

// hiddenGaps counts the gaps in the time that was asked for.
func (h *historyRun) hiddenGaps(ctx context.Context) (string, error) {
	count := map[journal.Kind]int{}
	for rec, err := range h.r.Query(ctx, h.gaps) {
		if err != nil && !isChanged(&rec, err) {
			return "", err
		}
		count[rec.Kind]++
	}
	var words []string
	for _, k := range gapKinds() {
		if count[k] > 0 {
			words = append(words, fmt.Sprintf("%d %s", count[k], k))
		}
	}
	if len(words) == 0 {
		return "", nil
	}
	return "the watching had gaps in that time (" + strings.Join(words, ", ") + "): --gaps shows them", nil
}

// extentText says what the journal has.
func extentText(ctx context.Context, r *journal.Reader) (string, error) {
	size, err := r.Size(ctx)
	if err != nil {
		return "", err
	}
	if size.Records() == 0 {
		return "the journal has none at all yet", nil
	}
	var ends [2]journal.Record
	for i, oldest := range []bool{true, false} {
		for rec, err := range r.Query(ctx, journal.Filter{OldestFirst: oldest, Limit: 1}) {
			if err != nil && !isChanged(&rec, err) {
				return "", err
			}
			ends[i] = rec
		}
	}
	return fmt.Sprintf("the journal has %s, from %s to %s", cells.Plural(uint64(size.Records()), "record"), DateTime(ends[0].Time), DateTime(ends[1].Time)), nil
}
