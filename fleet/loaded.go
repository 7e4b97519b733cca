package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Loaded is what was in the kernel of one machine at a time, as far as its records tell.
type Loaded struct {
	Host    Host           `json:"host"`
	Journal string         `json:"journal"`
	Boot    string         `json:"boot"`
	AsOf    time.Time      `json:"as_of"` // the last record before that time
	Modules []LoadedModule `json:"modules"`
	// Doubts say why that may be wrong; where there are none, it is right as far as no record
	// is missing.
	Doubts []string `json:"doubts"`
}

// LoadedModule is a module that was in the kernel.
type LoadedModule struct {
	Module  string    `json:"module"`
	Since   time.Time `json:"since"` // of the record that shows it
	Seq     int64     `json:"seq"`
	By      string    `json:"by,omitempty"`
	Content string    `json:"content,omitempty"` // SHA-256 of its file, where a load was seen
}

// state is the newest of what is known of a module, or of a kind of record.
type state struct {
	seq     int64
	kind    journal.Kind
	outcome string
	at      time.Time
	by      string
	content string
}

// situation is what is known of one journal in one run of a kernel.
type situation struct {
	host    Host
	journal string
	boot    string
	last    state                  // of all records
	kinds   map[journal.Kind]state // of those that are not about one module
	modules map[string]state
	content map[string]state // of loads, whose file is known
}

// situations are those of all journals.
type situations map[[2]string]*situation

func (all situations) of(h Host, name, boot string) *situation {
	key := [2]string{name, boot}
	s := all[key]
	if s == nil {
		s = &situation{host: h, journal: name, boot: boot, kinds: map[journal.Kind]state{}, modules: map[string]state{}, content: map[string]state{}}
		all[key] = s
	}
	if h.Kernel != "" {
		s.host.Kernel = h.Kernel
	}
	return s
}

// see takes a record into account, in whatever order they come.
func (s *situation) see(module string, one state) {
	if one.seq > s.last.seq {
		s.last = one
	}
	if module == "" || one.kind == journal.KindInventory {
		if one.seq > s.kinds[one.kind].seq {
			s.kinds[one.kind] = one
		}
		return
	}
	if !tells(one.kind, one.outcome) {
		return
	}
	if one.seq > s.modules[module].seq {
		s.modules[module] = one
	}
	if one.content != "" && one.seq > s.content[module].seq {
		s.content[module] = one
	}
}

// tells whether a record tells if a module is loaded.
func tells(kind journal.Kind, outcome string) bool {
	switch kind {
	case journal.KindAction:
		return outcome == journal.Live || outcome == journal.Unloaded
	case journal.KindPresent, journal.KindAppeared, journal.KindVanished:
		return true
	}
	return false
}

// LoadedAt tells what was in the kernel of each machine at a time.
func (f *Fleet) LoadedAt(ctx context.Context, at time.Time) ([]Loaded, error) {
	all := situations{}
	for i, s := range f.sources {
		var err error
		if store, ok := s.(*Store); ok {
			err = store.loadedAt(ctx, at, all)
		} else {
			err = countLoaded(ctx, s, at, all)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.names[i], err)
		}
	}
	newest := map[string]*situation{}
	for _, s := range all {
		if has := newest[s.journal]; has == nil || s.last.seq > has.last.seq {
			newest[s.journal] = s
		}
	}
	out := make([]Loaded, 0, len(newest))
	for _, s := range newest {
		out = append(out, s.loaded())
	}
	slices.SortFunc(out, func(a, b Loaded) int {
		return cmp.Or(strings.Compare(a.Host.String(), b.Host.String()), strings.Compare(a.Journal, b.Journal))
	})
	return out, nil
}

func countLoaded(ctx context.Context, s source, at time.Time, all situations) error {
	for r, err := range s.records(ctx, query{until: at}) {
		if err != nil {
			return err
		}
		if r.head == nil {
			all.of(r.Host, r.Journal, r.Boot).see(r.Module, state{r.Seq, r.Kind, r.Outcome, r.Time, r.User, r.Content})
		}
	}
	return nil
}

// loaded judges a situation.
func (s *situation) loaded() Loaded {
	l := Loaded{Host: s.host, Journal: s.journal, Boot: s.boot, AsOf: s.last.at, Modules: []LoadedModule{}, Doubts: []string{}}
	inventory, has := s.kinds[journal.KindInventory]
	for name, m := range s.modules {
		if m.kind == journal.KindVanished || m.outcome == journal.Unloaded || m.kind == journal.KindPresent && m.seq < inventory.seq {
			continue
		}
		one := LoadedModule{Module: name, Since: m.at, Seq: m.seq, By: m.by, Content: m.content}
		if load, ok := s.content[name]; ok && m.kind == journal.KindPresent {
			one.Content, one.By, one.Since = load.content, load.by, load.at
		}
		l.Modules = append(l.Modules, one)
	}
	slices.SortFunc(l.Modules, func(a, b LoadedModule) int { return strings.Compare(a.Module, b.Module) })
	if !has {
		l.Doubts = append(l.Doubts, "what was loaded before the watching began is not known: there is no inventory")
	}
	for kind, one := range s.kinds {
		switch kind {
		case journal.KindLost, journal.KindBlind, journal.KindLate, journal.KindStopped, journal.KindCorrupt:
			if one.seq > inventory.seq {
				l.Doubts = append(l.Doubts, fmt.Sprintf("record %d after the last inventory is a gap: %s", one.seq, kind))
			}
		}
	}
	slices.Sort(l.Doubts)
	return l
}

// loadedAt lets the store find the newest record of each module.
func (s *Store) loadedAt(ctx context.Context, at time.Time, all situations) error {
	q := query{until: at}
	const row = `"kmodtrace.seq", "kmodtrace.kind", "kmodtrace.outcome", "_time", "user.name", "kmodtrace.sha256", "os.version"`
	const by = `"host.id", "host.name", "kmodtrace.journal", "kmodtrace.boot"`
	gaps := []string{"inventory", "lost", "blind", "late", "stopped", "corrupt"}
	for _, ask := range []string{
		` | stats by (` + by + `) row_max("kmodtrace.seq", ` + row + `) row`,
		` "kmodtrace.kind":in(` + strings.Join(gaps, ",") + `) | stats by (` + by + `, "kmodtrace.kind") row_max("kmodtrace.seq", ` + row + `) row`,
		` ("kmodtrace.kind":in(present,appeared,vanished) or ("kmodtrace.kind":=action "kmodtrace.outcome":in(live,unloaded))) | stats by (` + by + `, "kmodtrace.module") row_max("kmodtrace.seq", ` + row + `) row`,
		` "kmodtrace.kind":=action "kmodtrace.outcome":=live "kmodtrace.sha256":* | stats by (` + by + `, "kmodtrace.module") row_max("kmodtrace.seq", ` + row + `) row`,
	} {
		for fields, err := range s.query(ctx, q.selector()+ask) {
			if err != nil {
				return err
			}
			r := object(fields["row"])
			one := state{seq: number(r[fieldSeq]), kind: journal.Kind(r[fieldKind]), outcome: r[fieldOutcome], by: r[fieldUser], content: r[fieldContent]}
			if one.at, err = time.Parse(time.RFC3339Nano, r[fieldTime]); err != nil {
				return fmt.Errorf("the store gave %.40q: not a time", r[fieldTime])
			}
			h := Host{ID: fields[fieldHostID], Name: fields[fieldHostName], Kernel: r[fieldKernel]}
			all.of(h, fields[fieldJournal], fields[fieldBoot]).see(fields[fieldModule], one)
		}
	}
	return nil
}

// object reads a row that a store gave.
func object(text string) map[string]string {
	var fields map[string]string
	if json.Unmarshal([]byte(text), &fields) != nil {
		return nil
	}
	return fields
}
