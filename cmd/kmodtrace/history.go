package main

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
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newHistoryCommand() *cobra.Command {
	opts := new(historyOptions)
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Ask the journal what was done with modules, by whom and when",
		Long: `Show what kmodtrace serve has recorded: loads, unloads and requests, by whom, what
became of them and why; and between them each gap in the watching, for what happened then is
not known. Oldest first. RECORD is a record's number, for history show.

A filter that only actions pass hides the gaps; how many there were is then said on standard
error, and --gaps shows them. Values of one flag are alternatives, and all flags must agree.
Times are in the zone of TZ, or of this machine. In JSON and CSV they are in UTC.

--first-seen lists what was never seen before on this machine: modules, files, or the
contents of files by their SHA-256. --loaded-at says what was in the kernel at some time,
who loaded each and when. What makes that doubtful is said on standard error, and exit
status 5 says that there is such a doubt.

CSV has a header and a line for each record, all of it in quotes; control characters come as
escapes. A ' stands before a text that a spreadsheet would take for a formula, and before one
that begins with '. The columns of records are
` + columnsText(recordColumns()) + `
those of --first-seen
` + columnsText(firstColumns()) + `
and those of --loaded-at
` + columnsText(loadedColumns()) + `

It works while the service runs, and on a copy of the journal: the file and the one beside
it that ends in -wal. Exit status 1 also says that records are not as they were written.`,
		Example: `  kmodtrace history --since yesterday
  kmodtrace history --since 2026-03 --until 2026-04 --module 'snd-*' --gaps
  kmodtrace history --user alice --outcome failed -n 20
  kmodtrace history --boot -1 --kind gap
  kmodtrace history --first-seen files --since 7d
  kmodtrace history --loaded-at '2026-03-01 14:00'
  kmodtrace history --journal ./copy.db --csv > actions.csv
  kmodtrace history show 4711`,
		Args: func(cmd *cobra.Command, args []string) error {
			// The word may stand apart from its flag.
			if f := cmd.Flags().Lookup(firstSeenFlag); f.Changed && f.Value.String() == f.NoOptDefVal && len(args) == 1 {
				opts.firstSeen, args = args[0], nil
			}
			return noArguments(cmd, args)
		},
		ValidArgs: firstWords(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.check(cmd); err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	addJournalFlag(cmd, &opts.journal)
	opts.asked.register(cmd)
	flags.StringVar(&opts.firstSeen, firstSeenFlag, "", "list `WHAT` was never seen before: modules, files or contents")
	flags.Lookup(firstSeenFlag).NoOptDefVal = firstWords()[0]
	flags.StringVar(&opts.loadedAt, "loaded-at", "", "list what was in the kernel at this `TIME`")
	flags.IntVarP(&opts.limit, "limit", "n", 0, "only the newest `N`; 0 for all")
	flags.BoolVar(&opts.reverse, "reverse", false, "newest first")
	opts.format.register(cmd)
	mustComplete(cmd, firstSeenFlag, firstWords())
	cmd.AddCommand(newHistoryShowCommand())
	return cmd
}

const firstSeenFlag = "first-seen"

type historyOptions struct {
	journal             string
	asked               historyFlags
	firstSeen, loadedAt string
	limit               int
	reverse             bool
	format              recordFormat
}

// check tells which flags do not go together.
func (o *historyOptions) check(cmd *cobra.Command) error {
	if o.limit < 0 {
		return usageErrorf("--limit %d: want a number that is not negative", o.limit)
	}
	if err := o.format.check(); err != nil {
		return err
	}
	if err := noEmptyFlag(cmd); err != nil {
		return err
	}
	allowed := []string{"journal", "json", "csv", logFlag}
	var alone string
	switch {
	case cmd.Flags().Changed("loaded-at"):
		alone, allowed = "loaded-at", append(allowed, "loaded-at")
	case cmd.Flags().Changed(firstSeenFlag):
		alone, allowed = firstSeenFlag, append(allowed, firstSeenFlag, "since", "until", "limit", "reverse")
	default:
		return nil
	}
	for _, name := range changedFlags(cmd) {
		if !slices.Contains(allowed, name) {
			return usageErrorf("--%s goes without --%s", alone, name)
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
			return usageErrorf("--%s \"\": want what is not empty", name)
		}
	}
	return nil
}

func (o *historyOptions) run(ctx context.Context, out io.Writer) error {
	now := time.Now()
	wanted, err := o.asked.parse(now)
	if err != nil {
		return err
	}
	switch {
	case o.firstSeen != "":
		return o.showFirst(ctx, out, wanted)
	case o.loadedAt != "":
		return o.showLoaded(ctx, out, now)
	}
	return withJournal(o.journal, func(r *journal.Reader) error {
		h := &historyRun{historyOptions: o, r: r, wanted: wanted}
		return h.run(ctx, out, now)
	})
}

// historyRun is one question for records.
type historyRun struct {
	*historyOptions
	r      *journal.Reader
	wanted *historyFilter

	gaps           journal.Filter // for the gaps of the time that is asked for
	shown, changed int
}

func (h *historyRun) run(ctx context.Context, out io.Writer, now time.Time) error {
	filter, some, err := h.wanted.resolve(ctx, h.r)
	if err != nil {
		return err
	}
	h.gaps = journal.Filter{Kinds: gapKinds(), Since: filter.Since, Until: filter.Until, Boots: filter.Boots}
	p, err := h.format.printer(ctx, h.r, out, now)
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
	record(io.Writer, *journal.Record, bool) error // whether it is not as it was written
}

func (h *historyRun) print(w io.Writer, p recordPrinter, records iter.Seq2[journal.Record, error]) error {
	if h.format.csv { // which has a header in any case
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
		if h.shown == 0 && !h.format.csv {
			if err := p.begin(w); err != nil {
				return err
			}
		}
		h.shown++
		if err := p.record(w, &rec, changed); err != nil {
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
	if h.limit == 0 || h.reverse {
		return h.stream(ctx, f, some, h.reverse)
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
		f.OldestFirst, f.Limit = !newest, h.limit
		return h.r.Query(ctx, f)
	}
	if some {
		records = ask(f)
	}
	if h.wanted.gaps && h.wanted.ofActions() {
		records = merge(records, ask(h.gaps), newest)
	}
	if h.limit > 0 {
		records = firstOf(records, h.limit)
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
	if h.wanted.ofActions() && !h.wanted.gaps && h.format.isText() {
		text, err := h.hiddenGaps(ctx)
		if err != nil {
			return err
		}
		if text != "" {
			log.Info().Msg(text)
		}
	}
	if h.changed > 0 {
		return changedError(h.changed)
	}
	return nil
}

func changedError(n int) error {
	text := cells.Plural(uint64(n), "record") + " shown here are not as they were written"
	if n == 1 {
		text = "1 record shown here is not as it was written"
	}
	return &exitError{status: exitRefused, err: errors.New(text), hint: "kmodtrace audit verify says what became of them"}
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
	return fmt.Sprintf("the journal has %s, from %s to %s", cells.Plural(uint64(size.Records()), "record"), dateTime(ends[0].Time), dateTime(ends[1].Time)), nil
}
