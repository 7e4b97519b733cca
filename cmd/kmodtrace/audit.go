package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
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
		v := verificationOf(o.journal, report, anchors)
		if o.json {
			err = term.PrintJSON(out, v)
		} else {
			err = term.PrintTo(out, v.print)
		}
		if err != nil || v.OK {
			return err
		}
		return &exitError{status: exitRefused, err: errors.New(v.verdict()), hint: v.hint()}
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
		text, err := anchorLine(lines.Text())
		if err == nil && !looksLikeAnchor(text) {
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
		if len(anchors) == maxAnchors {
			return nil, fmt.Errorf("more than %d anchors in %s: give those of this journal", maxAnchors, cells.Short(o.anchors))
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

// maxAnchors is how many are compared: a hundred years of one each hour.
const maxAnchors = 1_000_000

// anchorLine gives the message of a line. In the JSON of journalctl, what journald found
// out itself of who wrote it begins with _: there an anchor counts only if it is from
// root's kmodtrace.
func anchorLine(line string) (string, error) {
	if !strings.HasPrefix(line, "{") {
		return line, nil
	}
	var entry struct {
		Message json.RawMessage `json:"MESSAGE"`
		UID     string          `json:"_UID"`
		Unit    string          `json:"_SYSTEMD_UNIT"`
		Comm    string          `json:"_COMM"`
	}
	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Message == nil {
		return line, nil // JSON of another program
	}
	text := messageText(entry.Message)
	switch {
	case !looksLikeAnchor(text):
		return "", nil
	case entry.UID != "0":
		return "", fmt.Errorf("an anchor that user %s wrote, not root", orUnknownText(entry.UID))
	case entry.Unit != serviceUnit && entry.Comm != "kmodtrace":
		return "", fmt.Errorf("an anchor that %s wrote, not kmodtrace", orUnknownText(cells.Short(strings.Join(render.NonEmpty(entry.Comm, entry.Unit), " of "))))
	}
	return text, nil
}

// serviceUnit is that of the package.
const serviceUnit = "kmodtrace.service"

func orUnknownText(s string) string {
	if s == "" {
		return "nobody knows who"
	}
	return s
}

// messageText is a message of journalctl's JSON: a list of bytes where it is not UTF-8.
func messageText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []uint16
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	bytes := make([]byte, len(list))
	for i, b := range list {
		bytes[i] = byte(b)
	}
	return string(bytes)
}

// looksLikeAnchor tells lines apart in which other programs also say journal=. One whose
// end was cut off still looks like an anchor.
func looksLikeAnchor(line string) bool {
	_, rest, found := strings.Cut(line, "journal=")
	return found && strings.Contains(rest, " records=")
}

// verification is what audit verify found.
type verification struct {
	Path    string `json:"path"`
	Journal string `json:"journal"` // its own name
	OK      bool   `json:"ok"`
	Records int64  `json:"records"`
	First   int64  `json:"first"`   // the number of the oldest; 0: there is none
	Removed int64  `json:"removed"` // retention has removed the records up to this number
	Thinned int64  `json:"thinned"` // and so many between those that are left
	// Last is how it ends: the number and hash of the last record that is there.
	Last lastRecord `json:"last"`
	// Anchors are those given; Foreign are of other journals. Those that are neither
	// foreign nor compared are of records that retention has removed.
	Anchors  int             `json:"anchors"`
	Foreign  int             `json:"foreign_anchors"`
	Compared int             `json:"compared_anchors"`
	Problems []verifyProblem `json:"problems"`
	More     int             `json:"more_problems"` // that are not listed
}

type lastRecord struct {
	Seq  int64       `json:"seq"`
	Hash journal.Sum `json:"hash"`
}

type verifyProblem struct {
	Trouble journal.Trouble `json:"trouble"`
	// Seq and Through are the first and the last record that it is about; absent where it
	// is about none.
	Seq     int64  `json:"seq,omitempty"`
	Through int64  `json:"through,omitempty"`
	Text    string `json:"text"`

	line string
}

func verificationOf(path string, r *journal.Report, anchors []journal.Anchor) *verification {
	v := &verification{
		Path: path, Journal: r.Journal, Records: r.Records, First: r.First, Removed: r.Removed, Thinned: r.Thinned,
		Last: lastRecord{r.Last.Count, r.Last.Hash}, Anchors: len(anchors), Compared: r.Anchors,
		Problems: []verifyProblem{}, More: r.More,
	}
	for _, a := range anchors {
		if a.Journal != r.Journal {
			v.Foreign++
		}
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, verifyProblem{p.Trouble, p.Seq, p.Through, p.Text, p.String()})
	}
	v.OK = r.OK() && (v.Anchors == 0 || v.Compared > 0)
	return v
}

// print gives a line for each problem, and what was checked.
func (v *verification) print(w io.Writer) error {
	for _, p := range v.Problems {
		fmt.Fprintln(w, cells.Printable(p.line))
	}
	if v.More > 0 {
		fmt.Fprintf(w, "and %s more\n", cells.Plural(uint64(v.More), "problem"))
	}
	_, err := fmt.Fprintln(w, cells.Printable(v.summary()))
	return err
}

// summary says what there is, what is wrong, and what the anchors say.
func (v *verification) summary() string {
	text := fmt.Sprintf("%s: %s", v.Path, cells.Plural(uint64(v.Records), "record"))
	if v.Records > 0 {
		text += fmt.Sprintf(" from number %d on", v.First)
	}
	switch n := len(v.Problems) + v.More; {
	case n > 0:
		text += ", " + cells.Plural(uint64(n), "problem")
	case v.Records == 1:
		text += " is as it was written"
	default:
		text += " are as they were written"
	}
	if v.Thinned > 0 {
		text += fmt.Sprintf("; retention has removed %d between them", v.Thinned)
	}
	if v.Compared > 0 {
		text += anchorsText(v.Compared, len(v.Problems) == 0)
	}
	if v.Foreign > 0 {
		text += fmt.Sprintf("; of another journal: %s", cells.Plural(uint64(v.Foreign), "anchor"))
	}
	if old := v.Anchors - v.Foreign - v.Compared; old > 0 {
		text += fmt.Sprintf("; of records that retention has removed: %s", cells.Plural(uint64(old), "anchor"))
	}
	return text
}

func (v *verification) verdict() string {
	if len(v.Problems) == 0 {
		return "no anchor could be compared, so it is not known whether this is the journal that they are about"
	}
	return "the journal is not as it was written"
}

func (v *verification) hint() string {
	switch {
	case len(v.Problems) > 0:
		return "records before the first of those can be trusted, those after it only as far as an anchor covers them"
	case v.Foreign == v.Anchors:
		return "the journal may have been replaced by another: this one is named " + cells.Printable(v.Journal)
	}
	return "take anchors of later records: retention has removed those that these are about"
}

func anchorsText(n int, agree bool) string {
	switch {
	case !agree:
		return fmt.Sprintf(", compared with %s", cells.Plural(uint64(n), "anchor"))
	case n == 1:
		return ", and the anchor agrees"
	}
	return fmt.Sprintf(", and %d anchors agree", n)
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
