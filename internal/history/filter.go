package history

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/usernames"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/spf13/cobra"
)

// Flags are the filter of history as the command line has it. What watch has too
// is named and read as there.
type Flags struct {
	filter.ActionFlags
	users, containers, files, contents, kinds []string

	boot, since, until string
	gaps, findings     bool
	severity           string
	rules              []string
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	f.ActionFlags.Register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.users, "user", nil, "only actions of these `USERS`: the login user, by name or number; a recorded name is also found by its number on this machine")
	flags.StringSliceVar(&f.containers, "container", nil, "only from these containers: the `ID` or its beginning, or any")
	flags.StringArrayVar(&f.files, "file", nil, "only loads of files whose path matches `GLOB`, or whose name does where it has no slash; repeatable")
	flags.StringSliceVar(&f.contents, "content", nil, "only loads of files with this `SHA256`, or one that begins so")
	flags.StringSliceVar(&f.kinds, "kind", nil, "only these `KINDS` of records: action, pending, inventory, present, finding, discarded, or gap for all of started, stopped, lost, late, clock, corrupt and retention")
	flags.BoolVar(&f.findings, "findings", false, "only what the rules and checks of kmodtrace serve found (kmodtrace rules list)")
	flags.StringVar(&f.severity, "severity", "", "only findings of this `SEVERITY` or a higher one: "+filter.SeverityText())
	flags.StringSliceVar(&f.rules, "rule", nil, "only findings by these `RULES`")
	flags.BoolVar(&f.gaps, "gaps", false, "with a filter that only actions pass: show the gaps in the watching too")
	flags.StringVar(&f.boot, "boot", "", "only of one run of the kernel: its `ID` or the beginning of it, current for this one, 0 for the last in the journal, -1 for the one before that, 1 for the first")
	flags.StringVar(&f.since, "since", "", "only from this `TIME` on: "+TimeForms)
	flags.StringVar(&f.until, "until", "", "only before this `TIME`")
	cli.MustComplete(cmd, "severity", filter.SeverityWords())
	cli.MustCompleteBy(cmd, "rule", filter.CompleteRules)
	cli.MustComplete(cmd, "kind", append(kindWords(), gapWord))
	cli.MustComplete(cmd, "boot", []string{currentBoot, "0", "-1"})
}

// gapWord stands for all kinds of gaps.
const gapWord = "gap"

func recordKinds() []journal.Kind { return journal.Kinds() }

func kindWords() (words []string) {
	for _, k := range recordKinds() {
		words = append(words, string(k))
	}
	return words
}

func gapKinds() []journal.Kind {
	return slices.DeleteFunc(recordKinds(), func(k journal.Kind) bool { return !k.Gap() })
}

// Selection is what is asked for, before it is known what the journal has of it.
type Selection struct {
	filter.ActionFilter
	users      []string
	containers []string
	files      []filter.Glob
	contents   []string
	kinds      []journal.Kind
	gaps       bool
	severities []string // of findings; nil for any
	rules      []string
	boot       string

	since, until time.Time
}

// parse checks what the journal need not be asked for.
func (f *Flags) parse(now time.Time) (w *Selection, err error) {
	w = &Selection{users: f.users, containers: f.containers, contents: f.contents, gaps: f.gaps, boot: f.boot}
	if w.ActionFilter, err = f.ActionFlags.Parse(); err != nil {
		return nil, err
	}
	if err := w.parseFindings(f); err != nil {
		return nil, err
	}
	if w.files, err = filter.ParseAll(f.files, parseFileGlob); err != nil {
		return nil, err
	}
	if err := w.parseKinds(f.kinds); err != nil {
		return nil, err
	}
	if w.since, err = parseTimeFlag("--since", f.since, now); err != nil {
		return nil, err
	}
	if w.until, err = parseTimeFlag("--until", f.until, now); err != nil {
		return nil, err
	}
	if !w.since.IsZero() && !w.until.IsZero() && !w.since.Before(w.until) {
		return nil, cli.Usagef("--since %s is not before --until %s", DateTime(w.since), DateTime(w.until))
	}
	return w, nil
}

// parseFindings has the flags that ask for findings alone.
func (w *Selection) parseFindings(f *Flags) error {
	if !f.findings && f.severity == "" && len(f.rules) == 0 {
		return nil
	}
	if len(f.kinds) > 0 || f.gaps || len(w.Actions)+len(w.Outcomes)+len(w.Causes) > 0 {
		return cli.Usagef("findings cannot be asked for together with --kind, --gaps, --action, --outcome or --cause")
	}
	w.kinds, w.rules = []journal.Kind{journal.KindFinding}, f.rules
	if f.severity == "" {
		return nil
	}
	least, err := filter.ParseSeverity(f.severity)
	if err != nil {
		return err
	}
	for _, s := range rule.Severities() {
		if s.AtLeast(least) {
			w.severities = append(w.severities, string(s))
		}
	}
	return nil
}

func parseTimeFlag(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := ParseTime(text, now)
	if err != nil {
		return t, cli.Usagef("%s: %w", flag, err)
	}
	return t, nil
}

func (w *Selection) parseKinds(words []string) error {
	for _, word := range words {
		switch {
		case word == gapWord:
			w.kinds = append(w.kinds, gapKinds()...)
		case slices.Contains(kindWords(), word):
			w.kinds = append(w.kinds, journal.Kind(word))
		default:
			return cli.Usagef("--kind %q: must be one of %s, %s", cells.Short(word), strings.Join(kindWords(), ", "), gapWord)
		}
	}
	slices.Sort(w.kinds)
	w.kinds = slices.Compact(w.kinds)
	switch {
	case len(w.kinds) > 0 && w.gaps:
		return cli.Usagef("--gaps and --kind are mutually exclusive: --kind gap shows only gaps")
	case len(w.kinds) > 0 && w.ofActions() && !slices.ContainsFunc(w.kinds, func(k journal.Kind) bool { return !k.Gap() }):
		return cli.Usagef("--kind %s cannot be combined with a filter that only actions match, such as a module or a user", strings.Join(words, ","))
	}
	return nil
}

// ofActions tells whether it asks for what no gap has.
func (w *Selection) ofActions() bool {
	return len(w.Modules)+len(w.Actions)+len(w.Outcomes)+len(w.Causes)+len(w.users)+len(w.containers)+len(w.files)+len(w.contents) > 0
}

// parseFileGlob makes a path of this directory whole: the journal has no others. Without a
// slash it is the name of a file, wherever that is.
func parseFileGlob(s string) (filter.Glob, error) {
	if strings.Contains(s, "/") && !strings.HasPrefix(s, "/") {
		whole, err := filepath.Abs(s)
		if err != nil {
			return "", fmt.Errorf("--file %s: %w", cells.Short(s), err)
		}
		s = whole
	}
	return filter.ParseGlob(s)
}

func matchFile(g filter.Glob, path string) bool {
	if !strings.Contains(string(g), "/") {
		path = filepath.Base(path)
	}
	return g.Match(path)
}

// resolve asks the journal which of its values are meant. It tells false where none are,
// and so nothing can be.
func (w *Selection) resolve(ctx context.Context, r *journal.Reader) (f journal.Filter, some bool, err error) {
	f = journal.Filter{Final: true, Kinds: w.kinds, Actions: filter.Words(w.Actions), Outcomes: filter.Words(w.Outcomes), Since: w.since, Until: w.until}
	for _, c := range w.Causes {
		f.Causes = append(f.Causes, string(c))
	}
	if len(w.severities) > 0 {
		f.Outcomes = w.severities
	}
	if len(w.rules) > 0 {
		f.Causes = w.rules
	}
	if len(f.Kinds) == 0 && !w.ofActions() {
		// Each module of each inventory is too much where nobody asked for modules.
		f.Kinds = slices.DeleteFunc(recordKinds(), func(k journal.Kind) bool { return k == journal.KindPresent })
	}
	if w.boot != "" {
		id, err := findBoot(ctx, r, w.boot)
		if err != nil {
			return f, false, err
		}
		f.Boots = []string{id}
	}
	for _, ask := range []struct {
		column journal.Column
		wanted int
		match  func(string) bool
		into   *[]string
	}{
		{journal.ByModule, len(w.Modules), w.matchModule, &f.Modules},
		{journal.ByUser, len(w.users), w.matchUser(), &f.Users},
		{journal.ByContainer, len(w.containers), w.matchContainer, &f.Containers},
		{journal.ByFile, len(w.files), w.matchFile, &f.Files},
		{journal.ByContent, len(w.contents), w.matchContent, &f.Contents},
	} {
		if ask.wanted == 0 {
			continue
		}
		values, err := r.Values(ctx, ask.column)
		if err != nil {
			return f, false, err
		}
		if *ask.into = slices.DeleteFunc(values, func(v string) bool { return !ask.match(v) }); len(*ask.into) == 0 {
			return f, false, nil
		}
	}
	return f, true, nil
}

func (w *Selection) matchModule(name string) bool {
	return filter.MatchAny(w.Modules, modname.Normal(name))
}

func (w *Selection) matchContainer(id string) bool {
	return slices.ContainsFunc(w.containers, func(c string) bool { return c == filter.AnyContainer || strings.HasPrefix(id, c) })
}

func (w *Selection) matchFile(path string) bool {
	return slices.ContainsFunc(w.files, func(g filter.Glob) bool { return matchFile(g, path) })
}

func (w *Selection) matchContent(hash string) bool {
	return slices.ContainsFunc(w.contents, func(c string) bool { return strings.HasPrefix(hash, strings.ToLower(c)) })
}

// matchUser takes a number and the name that it has here for the same, whichever of them
// was recorded.
func (w *Selection) matchUser() func(string) bool {
	meant := slices.Clone(w.users)
	for _, u := range w.users {
		uid, ok := usernames.ID(u)
		if !ok {
			continue
		}
		meant = append(meant, strconv.FormatUint(uint64(uid), 10))
		if name := usernames.User(uid); name != "" {
			meant = append(meant, name)
		}
	}
	return func(name string) bool { return slices.Contains(meant, name) }
}

const currentBoot = "current"

// findBoot gives the id of the one boot that a word stands for.
func findBoot(ctx context.Context, r *journal.Reader, word string) (string, error) {
	boots, err := r.Boots(ctx)
	if err != nil {
		return "", err
	}
	if n, err := strconv.Atoi(word); err == nil && (n < 0 || len(word) <= 3) {
		return bootByOffset(boots, n)
	}
	wanted, here := word, ""
	if word == currentBoot {
		if here, err = procfs.BootID("/"); err != nil {
			return "", fmt.Errorf("--boot current: %w", err)
		}
		wanted = here
	}
	var found []string
	for _, b := range boots {
		if b.ID != "" && strings.HasPrefix(bareID(b.ID), bareID(wanted)) {
			found = append(found, b.ID)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", cli.Usagef("--boot %s begins the ids of several: %s, %s", cells.Short(word), cells.Printable(found[0]), cells.Printable(found[1]))
	case here != "":
		return "", cli.WithHint(fmt.Errorf("--boot current: the journal has nothing of this boot, %s", cells.Printable(here)), "--boot 0 is the last one that it has; is kmodtrace serve running?")
	}
	return "", cli.WithHint(fmt.Errorf("--boot %s: the journal has no such boot", cells.Short(word)), bootsText(boots))
}

func bootByOffset(boots []journal.Boot, n int) (string, error) {
	i := n - 1
	if n <= 0 {
		i = len(boots) - 1 + n
	}
	if i < 0 || i >= len(boots) {
		return "", cli.WithHint(fmt.Errorf("--boot %d: the journal has %s", n, cells.Plural(uint64(len(boots)), "boot")), bootsText(boots))
	}
	return boots[i].ID, nil
}

// bareID is an id as systemd prints it.
func bareID(id string) string { return strings.ToLower(strings.ReplaceAll(id, "-", "")) }

// bootsText names the last few.
func bootsText(boots []journal.Boot) string {
	const most = 5
	var names []string
	for i := max(len(boots)-most, 0); i < len(boots); i++ {
		names = append(names, fmt.Sprintf("%s of %s", cells.Printable(shortBoot(boots[i].ID)), boots[i].From.Local().Format(time.DateOnly)))
	}
	switch {
	case len(names) == 0:
		return ""
	case len(boots) > most:
		return "the last that it has are " + strings.Join(names, ", ")
	}
	return "it has " + strings.Join(names, ", ")
}

// shortBoot is enough of an id to tell it from others.
func shortBoot(id string) string { return cells.Head(id, 8) }
