package history

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// LoadedBy is what the journal knows of how a module came into the kernel.
type LoadedBy struct {
	// Seen says that the load was; else an inventory found the module, and By is not
	// known.
	Seen      bool      `json:"seen"`
	Time      time.Time `json:"time"` // of the load, or of that inventory
	User      string    `json:"user,omitempty"`
	UID       *uint32   `json:"uid,omitempty"`
	Container string    `json:"container,omitempty"`
	File      string    `json:"file,omitempty"`
	Content   string    `json:"content,omitempty"`
	Record    string    `json:"record"` // the id of the record that says so
	// Doubtful says that not all was watched since: it may have been taken out and
	// loaded again by somebody else.
	Doubtful bool `json:"doubtful,omitempty"`
}

func loadedByOf(m *journal.LoadedModule, doubtful bool) *LoadedBy {
	return &LoadedBy{
		Seen: m.Kind == journal.KindAction, Time: m.Time.UTC(), User: m.User, UID: m.UID, Container: m.Container,
		File: m.File, Content: m.Content, Record: m.ID, Doubtful: doubtful || m.Unwatched,
	}
}

// Who names the user, or says that nobody knows.
func (l *LoadedBy) Who() string {
	switch {
	case !l.Seen:
		return "not known"
	case l.Doubtful:
		return cells.OrDash(l.User) + "?"
	}
	return cells.OrDash(l.User)
}

// When is a time of today, or a date; before it, where the load was not seen.
func (l *LoadedBy) When(now time.Time) string {
	text := l.Time.Local().Format(time.DateOnly)
	if text == now.Local().Format(time.DateOnly) {
		text = render.ClockTime(l.Time)
	}
	if !l.Seen {
		return "before " + text
	}
	return text
}

// LoadedFlags say where to look for a journal that is an addition to the answer, not
// the answer.
type LoadedFlags struct {
	Root, journal string
	named         func() bool // the journal's file was given
}

// Register adds the flags to a command.
func (f *LoadedFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Root, "root", "/", "directory that holds proc and sys, such as a host's seen from a container")
	cmd.Flags().StringVar(&f.journal, "journal", "", "look up who loaded what in the journal in `FILE` (default "+service.DefaultJournal+" below --root)")
	f.named = func() bool { return cmd.Flags().Changed("journal") }
}

// Modules gives what the journal knows of the modules that are in the kernel now; nil
// where there is no journal to ask. That there is none is not an error, nor that this user
// may not read the one of the system; all else is said, and no error either.
func (f *LoadedFlags) Modules(ctx context.Context) map[string]*LoadedBy {
	path := f.journal
	if !f.named() {
		path = filepath.Join(f.Root, service.DefaultJournal)
	}
	known, err := LoadedNow(ctx, path, f.Root)
	usual := !f.named() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission))
	if err != nil && !usual {
		zerolog.Ctx(ctx).Warn().Msgf("who loaded what is not known: %v", cells.OneLine(err))
	}
	return known
}

// LoadedNow asks a journal what is loaded. Of another boot it knows nothing that
// matters now.
func LoadedNow(ctx context.Context, path, root string) (map[string]*LoadedBy, error) {
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	boot, err := procfs.BootID(root)
	if err != nil {
		return nil, err
	}
	l, err := LoadedAt(ctx, r, time.Now())
	if err != nil {
		return nil, err
	}
	known := map[string]*LoadedBy{}
	if l.Boot != boot {
		return known, nil
	}
	for i := range l.Modules {
		m := &l.Modules[i]
		known[m.Module] = loadedByOf(m, len(l.Doubts) > 0)
	}
	return known, nil
}

// LastLoad gives the last load of a module in this run of the kernel, whatever was seen of it since; nil where the journal
// has none, or cannot be asked.
func (f *LoadedFlags) LastLoad(ctx context.Context, module string) *LoadedBy {
	path := f.journal
	if !f.named() {
		path = filepath.Join(f.Root, service.DefaultJournal)
	}
	boot, err := procfs.BootID(f.Root)
	if err != nil {
		return nil
	}
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil
	}
	defer r.Close()
	rec, err := r.LastLoad(ctx, boot, module)
	if err != nil || rec == nil {
		return nil
	}
	return &LoadedBy{
		Seen: true, Time: rec.Time.UTC(), User: rec.User, UID: rec.UID, Container: rec.Container, File: rec.File, Content: rec.Content, Record: rec.ID,
	}
}

// listedModule is a module of list, and who loaded it.
type listedModule struct {
	kmod.Module
	Loaded *LoadedBy `json:"loaded,omitempty"`
	// Against are the lines of modprobe's configuration that did not keep it out.
	Against []kernel.ConfigLine `json:"blocked_by,omitempty"`
}

// ListedModules adds to modules what is known of their loads, and what is against them.
func ListedModules(modules []kmod.Module, known map[string]*LoadedBy, against map[string][]kernel.ConfigLine) []listedModule {
	listed := make([]listedModule, len(modules))
	for i := range modules {
		listed[i] = listedModule{modules[i], known[modules[i].Name], against[modules[i].Name]}
	}
	return listed
}

// DescribedFile is a file of info, and who loaded the module of that name.
type DescribedFile struct {
	*kmod.File
	// RefsNegative is that of the module in the kernel.
	RefsNegative bool      `json:"refcount_negative,omitempty"`
	Loaded       *LoadedBy `json:"loaded,omitempty"`
	// Options are the lines of modprobe's configuration with parameters for it.
	Options []kernel.OptionLine `json:"options,omitempty"`
	// Hidden are other files of its name, which modprobe does not take.
	Hidden []string `json:"hides,omitempty"`
	// Blocked are the lines of modprobe's configuration that are against it.
	Blocked []kernel.ConfigLine `json:"blocked_by,omitempty"`
	// Unreadable are files of that configuration whose lines are not known.
	Unreadable []string `json:"unreadable,omitempty"`
}

// OfModule gives what is known of one module, if it is in the kernel.
func (f *LoadedFlags) OfModule(ctx context.Context, name string) *LoadedBy {
	by := f.Modules(ctx)[name]
	if by == nil || f.InKernel(name) == nil {
		return nil
	}
	return by
}

// InKernel gives the module of that name that is in the kernel; nil where there is none, or
// no list of them.
func (f *LoadedFlags) InKernel(name string) *kmod.Module {
	modules, err := kmod.List(&kmod.ListOptions{Root: f.Root})
	if err != nil {
		return nil
	}
	for i := range modules {
		if modules[i].Name == name {
			return &modules[i]
		}
	}
	return nil
}

// Lines tell it among those of a file.
func (l *LoadedBy) Lines() []kmod.Field {
	if l == nil {
		return nil
	}
	when := DateTime(l.Time)
	if !l.Seen {
		return []kmod.Field{{Key: "loaded", Value: "before " + when + ", when it was found; by whom is not known"}}
	}
	lines := []kmod.Field{{Key: "loaded", Value: when + " by " + cells.OrDash(l.User)}}
	if l.Doubtful {
		lines[0].Value += "?, or again since by somebody else: not all was watched"
	}
	if l.Container != "" {
		lines = append(lines, kmod.Field{Key: "loaded_in", Value: "container " + l.Container})
	}
	if l.File != "" {
		lines = append(lines, kmod.Field{Key: "loaded_from", Value: l.File})
	}
	return append(lines, kmod.Field{Key: "loaded_record", Value: l.Record})
}

// AddLoaded puts when, and by whom, after the state: what is on the right is cut first.
func AddLoaded(t *term.Table, modules []kmod.Module, known map[string]*LoadedBy, now time.Time) {
	const after = 4
	t.Header = slices.Insert(t.Header, after, "LOADED", "BY")
	for i := range t.Rows {
		when, who := "-", "-"
		if by := known[modules[i].Name]; by != nil {
			when, who = by.When(now), by.Who()
		}
		t.Rows[i] = slices.Insert(t.Rows[i], after, when, who)
	}
}
