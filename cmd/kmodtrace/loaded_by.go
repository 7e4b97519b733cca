package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// loadedBy is what the journal knows of how a module came into the kernel.
type loadedBy struct {
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

func loadedByOf(m *journal.LoadedModule, doubtful bool) *loadedBy {
	return &loadedBy{
		Seen: m.Kind == journal.KindAction, Time: m.Time.UTC(), User: m.User, UID: m.UID, Container: m.Container,
		File: m.File, Content: m.Content, Record: m.ID, Doubtful: doubtful || m.Unwatched,
	}
}

// who names the user, or says that nobody knows.
func (l *loadedBy) who() string {
	switch {
	case !l.Seen:
		return "not known"
	case l.Doubtful:
		return orDash(l.User) + "?"
	}
	return orDash(l.User)
}

// when is a time of today, or a date; before it, where the load was not seen.
func (l *loadedBy) when(now time.Time) string {
	text := l.Time.Local().Format(time.DateOnly)
	if text == now.Local().Format(time.DateOnly) {
		text = clockTime(l.Time)
	}
	if !l.Seen {
		return "before " + text
	}
	return text
}

// loadedFlags say where to look for a journal that is an addition to the answer, not
// the answer.
type loadedFlags struct {
	root, journal string
	named         func() bool // the journal's file was given
}

func (f *loadedFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.root, "root", "/", "folder that holds proc and sys, such as a host's seen from a container")
	cmd.Flags().StringVar(&f.journal, "journal", "", "who loaded what is in the journal in this `FILE` (default "+service.DefaultJournal+" in the root)")
	f.named = func() bool { return cmd.Flags().Changed("journal") }
}

// modules gives what the journal knows of the modules that are in the kernel now; nil
// where there is no journal to ask. That there is none is no error, nor that this user
// may not read the one of the system; all else is said, and no error either.
func (f *loadedFlags) modules(ctx context.Context) map[string]*loadedBy {
	path := f.journal
	if !f.named() {
		path = filepath.Join(f.root, service.DefaultJournal)
	}
	known, err := loadedNow(ctx, path, f.root)
	usual := !f.named() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission))
	if err != nil && !usual {
		zerolog.Ctx(ctx).Warn().Msgf("who loaded what is not known: %v", oneLineError{err})
	}
	return known
}

// loadedNow asks a journal what is loaded. Of another boot it knows nothing that
// matters now.
func loadedNow(ctx context.Context, path, root string) (map[string]*loadedBy, error) {
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	boot, err := procfs.BootID(root)
	if err != nil {
		return nil, err
	}
	l, err := loadedAt(ctx, r, time.Now())
	if err != nil {
		return nil, err
	}
	known := map[string]*loadedBy{}
	if l.Boot != boot {
		return known, nil
	}
	for i := range l.Modules {
		m := &l.Modules[i]
		known[m.Module] = loadedByOf(m, len(l.Doubts) > 0)
	}
	return known, nil
}

// listedModule is a module of list, and who loaded it.
type listedModule struct {
	kmod.Module
	Loaded *loadedBy `json:"loaded,omitempty"`
}

func listedModules(modules []kmod.Module, known map[string]*loadedBy) []listedModule {
	listed := make([]listedModule, len(modules))
	for i := range modules {
		listed[i] = listedModule{modules[i], known[modules[i].Name]}
	}
	return listed
}

// describedFile is a file of info, and who loaded the module of that name.
type describedFile struct {
	*kmod.File
	// RefsNegative is that of the module in the kernel.
	RefsNegative bool      `json:"refcount_negative,omitempty"`
	Loaded       *loadedBy `json:"loaded,omitempty"`
}

// ofModule gives what is known of one module, if it is in the kernel.
func (f *loadedFlags) ofModule(ctx context.Context, name string) *loadedBy {
	by := f.modules(ctx)[name]
	if by == nil || f.inKernel(name) == nil {
		return nil
	}
	return by
}

// inKernel gives the module of that name that is in the kernel; nil where there is none, or
// no list of them.
func (f *loadedFlags) inKernel(name string) *kmod.Module {
	modules, err := kmod.List(&kmod.ListOptions{Root: f.root})
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

// lines tell it among those of a file.
func (l *loadedBy) lines() []kmod.Field {
	if l == nil {
		return nil
	}
	when := dateTime(l.Time)
	if !l.Seen {
		return []kmod.Field{{Key: "loaded", Value: "before " + when + ", when it was found; by whom is not known"}}
	}
	lines := []kmod.Field{{Key: "loaded", Value: when + " by " + orDash(l.User)}}
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
