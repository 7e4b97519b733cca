package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/spf13/cobra"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check the journal",
		Long: `Verify that the journal of kmodtrace serve is unchanged, and print anchors for later
verification.`,
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
		Long: `Check each record of the journal against its hash in the next record, and report which
records were changed, removed, moved or inserted. Exit status 0 means that none was.

A user who can write the file can also compute all hashes again. Only an anchor reveals that:
a line that the service writes to the system log at intervals. Pass the log to --anchors. It is
also a problem when none of the anchors can be compared, because all are of another journal or
older than the oldest record that is left.

Any user can write a line that looks like an anchor to the system log. The output of
journalctl -o json shows who wrote each line, and only anchors that root's kmodtrace wrote are
used. Text does not show the writer: take it from a log that only root can write.`,
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
	cmd.Flags().StringArrayVar(&opts.anchor, "anchor", nil, "compare with the anchor in `TEXT`, a line of the system log; repeatable")
	cmd.Flags().StringVar(&opts.anchors, "anchors", "", "compare with the anchors in `FILE`, one on a line; - for standard input")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print one JSON object (docs/schema/verification.schema.json)")
	return cmd
}

type verifyOptions struct {
	journal, anchors string
	anchor           []string
	json             bool
}

func (o *verifyOptions) run(ctx context.Context, stdin io.Reader, out io.Writer) error {
	anchors, err := history.ParseAnchors(o.anchor)
	if err != nil {
		return err
	}
	read, err := history.ReadAnchors(ctx, o.anchors, stdin)
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
		return cli.WithHint(errors.New(v.Verdict()), v.Hint())
	})
}

func newAnchorCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "anchor",
		Short: "Print how the journal ends now, to keep it elsewhere",
		Long: `Print the number and hash of the journal's last record. Keep it where users who can write the
journal cannot write: it shows later whether the journal was rewritten or truncated.`,
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
						return history.WriteJSONLine(w, history.NewAnchorJSON(a))
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
