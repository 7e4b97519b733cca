package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check the journal",
		Long: `Find out whether the journal of kmodtrace serve is as it was written, and print the anchors
by which that can be told later.`,
		Example: "  kmodtrace audit verify\n  kmodtrace audit anchor",
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVerifyCommand(), newAnchorCommand())
	return cmd
}

func newVerifyCommand() *cobra.Command {
	opts := new(verifyOptions)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find records that were changed, removed, moved or inserted",
		Long: `Check each record of the journal against the hash that the next one has of it, and say
which ones were changed, removed, moved or inserted. Exit status 0 says that none was.

Whoever may write the file may also make all hashes anew. That only an anchor finds, a line
that the service tells to the system log now and then: give the log to --anchors. Anchors of
which none could be compared, because they are all of another journal or older than what
retention has left, are a problem too.

Anybody can write a line that looks like an anchor to the system log. In what journalctl
prints with -o json it is to be seen who did, and only those are taken that root's kmodtrace
wrote. Of text, that cannot be seen: take it from a log that only root can write to.`,
		Example: `  kmodtrace audit verify
  kmodtrace audit verify --anchor 'journal=… records=4711 hash=… time=2026-03-01T14:00:00Z'
  journalctl -t kmodtrace -o json | kmodtrace audit verify --anchors -
  kmodtrace audit verify --journal ./copy.db --anchors auth.log`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	history.AddJournalFlag(cmd, &opts.journal)
	cmd.Flags().StringArrayVar(&opts.anchor, "anchor", nil, "compare with this anchor, the `TEXT` of a line of the system's log; repeatable")
	cmd.Flags().StringVar(&opts.anchors, "anchors", "", "compare with the anchors in the lines of this `FILE`; - for standard input")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print one JSON object (docs/schema/verification.schema.json)")
	return cmd
}

type verifyOptions struct {
	journal, anchors string
	anchor           []string
	json             bool
}

func (o *verifyOptions) run(ctx context.Context, stdin io.Reader, out io.Writer) error {
	anchors, err := o.parseAnchors()
	if err != nil {
		return err
	}
	read, err := o.readAnchors(ctx, stdin)
	if err != nil {
		return err
	}
	anchors = append(anchors, read...)
	return history.WithJournal(o.journal, func(r *journal.Reader) error {
		report, err := r.Verify(ctx, anchors...)
		if err != nil {
			return err
		}
		v := history.VerificationOf(o.journal, report, anchors)
		if o.json {
			err = term.PrintJSON(out, v)
		} else {
			err = term.PrintTo(out, v.Print)
		}
		if err != nil || v.OK {
			return err
		}
		return &exitError{status: exitRefused, err: errors.New(v.Verdict()), hint: v.Hint()}
	})
}

// parseAnchors reads those on the command line.
func (o *verifyOptions) parseAnchors() ([]journal.Anchor, error) {
	return filter.ParseAll(o.anchor, func(text string) (journal.Anchor, error) {
		a, err := journal.ParseAnchor(text)
		if err != nil {
			return a, cli.Usagef("--anchor: %w", err)
		}
		return a, nil
	})
}

// readAnchors reads those in a log. What only looks like one is said and passed over:
// anybody can write to a log, and nobody is to keep others from verifying by that.
func (o *verifyOptions) readAnchors(ctx context.Context, stdin io.Reader) (anchors []journal.Anchor, err error) {
	switch o.anchors {
	case "":
		return nil, nil
	case "-":
	default:
		f, err := os.Open(o.anchors)
		if err != nil {
			return nil, fmt.Errorf("anchors: %w", err)
		}
		defer f.Close()
		stdin = f
	}
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 1<<20)
	known := map[journal.Anchor]bool{}
	for n := 1; lines.Scan(); n++ {
		text, err := history.AnchorLine(lines.Text())
		if err == nil && !history.LooksLikeAnchor(text) {
			continue // of a log, most lines are about something else
		}
		var a journal.Anchor
		if err == nil {
			a, err = journal.ParseAnchor(text)
		}
		if err != nil {
			zerolog.Ctx(ctx).Warn().Msgf("%s, line %d is left out: %v", cells.Short(o.anchors), n, cells.OneLine(err))
			continue
		}
		if known[a] {
			continue
		}
		if len(anchors) == history.MaxAnchors {
			return nil, fmt.Errorf("more than %d anchors in %s: give those of this journal", history.MaxAnchors, cells.Short(o.anchors))
		}
		known[a], anchors = true, append(anchors, a)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("anchors: %w", err)
	}
	if len(anchors) == 0 {
		return nil, fmt.Errorf("no anchor in %s: the service writes lines with journal=", cells.Short(o.anchors))
	}
	return anchors, nil
}

func newAnchorCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "anchor",
		Short: "Print how the journal ends now, to keep it elsewhere",
		Long: `Print the number and hash of the journal's last record. Kept where whoever can write the
journal cannot write, it shows later on whether the journal was made anew or cut.`,
		Example: `  kmodtrace audit anchor | ssh log@elsewhere 'cat >> anchors'
  kmodtrace audit verify --anchor "$(cat anchor)"`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return history.WithJournal(path, func(r *journal.Reader) error {
				a, err := r.Anchor(cmd.Context(), time.Now())
				if err != nil {
					return err
				}
				return term.PrintTo(cmd.OutOrStdout(), func(w io.Writer) error {
					if asJSON {
						return history.WriteJSONLine(w, anchorJSON{a.Journal, a.Count, a.Hash, a.Time.UTC().Truncate(time.Second), a.String()})
					}
					_, err := fmt.Fprintln(w, cells.Printable(a.String()))
					return err
				})
			})
		},
	}
	history.AddJournalFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object (docs/schema/anchor.schema.json)")
	return cmd
}

// anchorJSON is an anchor as JSON.
type anchorJSON struct {
	Journal string      `json:"journal"`
	Records int64       `json:"records"`
	Hash    journal.Sum `json:"hash"`
	Time    time.Time   `json:"time"`
	Text    string      `json:"text"` // what --anchor takes
}
