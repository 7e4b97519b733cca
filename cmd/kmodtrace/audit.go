package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/spf13/cobra"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check the journal",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
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
that the service tells to the system log now and then: give the log to --anchors.`,
		Example: `  kmodtrace audit verify
  journalctl -t kmodtrace | kmodtrace audit verify --anchors -
  kmodtrace audit verify --journal ./copy.db --anchors auth.log`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	addJournalFlag(cmd, &opts.journal)
	cmd.Flags().StringVar(&opts.anchors, "anchors", "", "compare with the anchors in the lines of this `FILE`; - for standard input")
	return cmd
}

type verifyOptions struct{ journal, anchors string }

func (o *verifyOptions) run(ctx context.Context, stdin io.Reader, out io.Writer) error {
	anchors, err := o.readAnchors(stdin)
	if err != nil {
		return err
	}
	return withJournal(o.journal, func(r *journal.Reader) error {
		report, err := r.Verify(ctx, anchors...)
		if err != nil {
			return err
		}
		return o.say(out, report)
	})
}

func (o *verifyOptions) readAnchors(stdin io.Reader) (anchors []journal.Anchor, err error) {
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
	for lines.Scan() {
		if !strings.Contains(lines.Text(), "journal=") {
			continue // of a log, most lines are about something else
		}
		a, err := journal.ParseAnchor(lines.Text())
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, a)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("anchors: %w", err)
	}
	if len(anchors) == 0 {
		return nil, fmt.Errorf("no anchor in %s: the service writes lines with journal=", o.anchors)
	}
	return anchors, nil
}

// say prints a line for each problem, and what was checked.
func (o *verifyOptions) say(out io.Writer, r *journal.Report) error {
	err := printTo(out, func(w io.Writer) error {
		for _, p := range r.Problems {
			fmt.Fprintln(w, printable(p.String()))
		}
		if r.More > 0 {
			fmt.Fprintf(w, "and %d more problems\n", r.More)
		}
		if r.OK() {
			fmt.Fprintf(w, "%s: %d records from number %d on are as they were written%s\n", o.journal, r.Records, r.First, anchorsText(r.Anchors))
		}
		return nil
	})
	if err != nil || r.OK() {
		return err
	}
	return &exitError{status: exitRefused, err: errors.New("the journal is not as it was written"),
		hint: "records before the first of those can be trusted, those after it only as far as an anchor covers them"}
}

func anchorsText(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ", and the anchor agrees"
	}
	return fmt.Sprintf(", and %d anchors agree", n)
}

func newAnchorCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "anchor",
		Short: "Print how the journal ends now, to keep it elsewhere",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withJournal(path, func(r *journal.Reader) error {
				a, err := r.Anchor(cmd.Context(), time.Now())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), a)
				return outputError(err)
			})
		},
	}
	addJournalFlag(cmd, &path)
	return cmd
}
