package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"time"
)

// LoadedModule is a module that was in the kernel, and what shows it.
type LoadedModule struct {
	Module string `json:"module"`
	// Seq, ID, Time and Kind are of the record that shows it: of its load where one was
	// seen (KindAction), else of the inventory that found it (KindPresent) or of the moment
	// when it was found to have come (KindAppeared). Retention may have removed that record.
	Seq  int64     `json:"seq"`
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`

	User      string  `json:"user,omitempty"`
	UID       *uint32 `json:"uid,omitempty"`
	Container string  `json:"container,omitempty"`
	File      string  `json:"file,omitempty"`
	Content   string  `json:"content,omitempty"`

	// Unwatched says that a gap was between that load and the inventory that found the
	// module last: it may have been taken out and loaded again by somebody else.
	Unwatched bool `json:"unwatched,omitempty"`
}

// Loaded is what was in the kernel at some time, as far as the journal knows.
type Loaded struct {
	At   time.Time
	Boot string // of the kernel; empty where the journal was not there yet
	// AsOf is the number of the last record that could matter; 0: none could.
	AsOf    int64
	Modules []LoadedModule // by name
	// Doubts say why that may be wrong; where there are none, it is right.
	Doubts []Doubt
}

// Doubt is a reason for which the journal does not know.
type Doubt struct {
	Reason Reason
	// Seq is the record that shows it, Time that record's; zero where none does.
	Seq  int64
	Time time.Time
}

// Reason says why a journal does not know what was loaded.
type Reason string

// The reasons.
const (
	// NotYet: the journal begins later.
	NotYet Reason = "not-yet"
	// NotWatched: nobody watched at that time; Seq is the last record before it.
	NotWatched Reason = "not-watched"
	// ClockSet: by the clock that time never was, or was more than once; Seq is the record
	// of the step. The answer is for the last time that it was.
	ClockSet Reason = "clock-set"
	// NoInventory: what had been loaded before the watching began was never looked at.
	NoInventory Reason = "no-inventory"
	// Unseen: a gap is between the inventory and that time; Seq is the gap's record.
	Unseen Reason = "unseen"
	// Unfinished: how an attempt ended was not seen; Seq is the attempt's record.
	Unfinished Reason = "unfinished"
)

// maxDoubts is how many doubts of one reason are told.
const maxDoubts = 20

// LoadedAt tells what was in the kernel at a time by the wall clock: what the last
// inventory before it found, the modules loaded since, without those unloaded since.
// Only records of that boot count.
func (r *Reader) LoadedAt(ctx context.Context, at time.Time) (*Loaded, error) {
	l := &Loaded{At: at}
	err := r.inOneView(ctx, func(q querier) error {
		m, doubts, err := momentOf(ctx, q, at)
		if err != nil {
			return err
		}
		l.Doubts = doubts
		if m == nil {
			return nil
		}
		state, err := stateAt(ctx, q, *m)
		if err != nil {
			return err
		}
		l.Boot, l.AsOf, l.Modules = m.boot, state.asOf, state.modules
		l.Doubts = append(l.Doubts, state.doubts...)
		return nil
	})
	if err := r.settled("ask", err); err != nil {
		return nil, err
	}
	return l, nil
}

// moment is a place in a boot: after all records before the stretch, and after those in
// it that are not later than a time.
type moment struct {
	boot    string
	stretch seqRange
	until   int64 // nanoseconds
}

// within is the condition for what is before a moment, from a number on.
const within = "seq BETWEEN ? AND ? AND (seq < ? OR time <= ?)"

func (m moment) args(from int64) []any {
	return []any{from, m.stretch.last, m.stretch.first, m.until}
}

// state is what was loaded at a moment.
type state struct {
	modules  []LoadedModule
	complete bool // nothing else was
	asOf     int64
	doubts   []Doubt
}

// base is what a state is counted from.
type base struct {
	from    int64 // the first record that may change it
	whole   int64 // up to this one, times do not matter: an inventory is taken at one
	known   bool  // all that was loaded is
	modules []LoadedModule
}

// isChange is the condition of the index of changes, to the letter.
const isChange = "(kind IN ('present', 'appeared', 'vanished') OR (kind = 'action' AND outcome IN ('live', 'unloaded')))"

// isUnseen is the condition of what tells that something may have happened unseen.
const isUnseen = "kind IN ('lost', 'late', 'corrupt', 'started', 'stopped', 'blind')"

func stateAt(ctx context.Context, q querier, m moment) (*state, error) {
	var begin sql.NullInt64
	if err := q.QueryRowContext(ctx, "SELECT min(seq) FROM record INDEXED BY by_boot WHERE boot = ?", m.boot).Scan(&begin); err != nil {
		return nil, err
	}
	snapshot, err := snapshotOf(ctx, q, m.boot)
	if err != nil {
		return nil, err
	}
	b, err := baseOf(ctx, q, m, begin.Int64, snapshot)
	if err != nil {
		return nil, err
	}
	m.stretch.first = max(m.stretch.first, b.whole+1)
	s := &state{}
	if s.doubts, err = doubtsSince(ctx, q, m, b); err != nil {
		return nil, err
	}
	s.complete = len(s.doubts) == 0
	if s.modules, err = replay(ctx, q, m, b, begin.Int64, snapshot); err != nil {
		return nil, err
	}
	var asOf sql.NullInt64
	err = q.QueryRowContext(ctx, "SELECT seq FROM record NOT INDEXED WHERE "+within+" ORDER BY seq DESC LIMIT 1", m.args(begin.Int64)...).Scan(&asOf)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	s.asOf = asOf.Int64
	return s, err
}

// snapshotOf gives what retention kept of a boot whose beginning it removed; nil if it
// removed nothing of it.
func snapshotOf(ctx context.Context, q querier, boot string) (*removed, error) {
	kept, err := lastRemoved(ctx, q, math.MaxInt64)
	if err != nil || kept == nil || kept.Boot != boot {
		return nil, err
	}
	return kept, nil
}

// baseOf finds the last inventory before a moment.
func baseOf(ctx context.Context, q querier, m moment, begin int64, snapshot *removed) (base, error) {
	var from, count int64
	err := q.QueryRowContext(ctx, "SELECT seq, count FROM record INDEXED BY by_kind WHERE kind = ? AND boot = ? AND "+within+" ORDER BY seq DESC LIMIT 1",
		append([]any{string(KindInventory), m.boot}, m.args(begin)...)...).Scan(&from, &count)
	switch {
	case err == nil:
		return base{from: from, whole: from + count, known: true}, nil
	case !errors.Is(err, sql.ErrNoRows):
		return base{}, err
	case snapshot != nil:
		return base{from: snapshot.Through + 1, known: snapshot.Complete, modules: snapshot.Loaded}, nil
	}
	return base{from: begin}, nil
}

// doubtsSince gives the reasons for which a state may be wrong.
func doubtsSince(ctx context.Context, q querier, m moment, b base) ([]Doubt, error) {
	var doubts []Doubt
	if !b.known {
		doubts = append(doubts, Doubt{Reason: NoInventory})
	}
	for _, ask := range []struct {
		reason Reason
		where  string
	}{
		{Unseen, "record INDEXED BY by_kind WHERE " + isUnseen},
		{Unfinished, "record INDEXED BY by_outcome WHERE outcome = 'pending' AND outcome <> '' AND kind = 'action' AND action <> 'request'"},
	} {
		err := each(ctx, q, "SELECT seq, time FROM "+ask.where+" AND boot = ? AND "+within+" ORDER BY seq LIMIT ?",
			append(append([]any{m.boot}, m.args(b.from)...), maxDoubts), func(rows *sql.Rows) (bool, error) {
				d := Doubt{Reason: ask.reason}
				var ns int64
				err := rows.Scan(&d.Seq, &ns)
				d.Time = time.Unix(0, ns)
				doubts = append(doubts, d)
				return true, err
			})
		if err != nil {
			return nil, err
		}
	}
	return doubts, nil
}

// lastChanges asks for the last change of each module before a moment. It goes from name
// to name in the index, so it takes no longer for a long time between than for a short
// one.
const lastChanges = `
WITH RECURSIVE names (name) AS (
  SELECT min(module) FROM record INDEXED BY changes WHERE ` + isChange + `
  UNION ALL
  SELECT (SELECT min(module) FROM record INDEXED BY changes WHERE module > name AND ` + isChange + `)
  FROM names WHERE name IS NOT NULL
)
SELECT name, (
  SELECT seq FROM record INDEXED BY changes WHERE module = name AND ` + isChange + ` AND ` + within + `
  ORDER BY seq DESC LIMIT 1
) AS last FROM names WHERE name IS NOT NULL AND last IS NOT NULL`

// replay applies the changes since a base.
func replay(ctx context.Context, q querier, m moment, b base, begin int64, snapshot *removed) ([]LoadedModule, error) {
	changed := map[string]int64{}
	err := each(ctx, q, lastChanges, m.args(b.from), func(rows *sql.Rows) (bool, error) {
		var name text
		var seq int64
		err := rows.Scan(&name, &seq)
		changed[string(name)] = seq
		return true, err
	})
	if err != nil {
		return nil, err
	}
	modules := []LoadedModule{}
	for _, l := range b.modules {
		if _, ok := changed[l.Module]; !ok {
			modules = append(modules, l)
		}
	}
	for name, seq := range changed {
		r, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE seq = ?", seq))
		if err != nil {
			return nil, err
		}
		if name == "" || r.gone() {
			continue
		}
		l := r.loaded()
		if r.Kind == KindPresent {
			if l, err = originOf(ctx, q, &r.Record, begin, snapshot); err != nil {
				return nil, err
			}
		}
		modules = append(modules, l)
	}
	slices.SortFunc(modules, func(a, b LoadedModule) int { return cmp.Compare(a.Module, b.Module) })
	return modules, nil
}

// gone tells whether a change is that a module is not loaded any more.
func (r *Record) gone() bool {
	return r.Kind == KindVanished || r.Kind == KindAction && r.Outcome == Unloaded
}

func (r *Record) loaded() LoadedModule {
	return LoadedModule{
		Module: r.Module, Seq: r.Seq, ID: r.ID, Time: r.Time, Kind: r.Kind,
		User: r.User, UID: r.UID, Container: r.Container, File: r.File, Content: r.Content,
	}
}

// originOf finds the load of a module that an inventory found, if that was seen in this
// boot, or when it was found to have come.
func originOf(ctx context.Context, q querier, found *Record, begin int64, snapshot *removed) (LoadedModule, error) {
	l := found.loaded()
	load, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record INDEXED BY changes WHERE module = ? AND "+isChange+
		" AND kind <> 'present' AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT 1", found.Module, begin, found.Seq-1))
	switch {
	case err == nil && load.gone(): // and loaded again unseen
		return l, nil
	case err == nil:
		l = load.loaded()
	case !errors.Is(err, ErrNotFound):
		return l, err
	case snapshot == nil:
		return l, nil
	default:
		i := slices.IndexFunc(snapshot.Loaded, func(s LoadedModule) bool { return s.Module == l.Module && s.Kind != KindPresent })
		if i < 0 {
			return l, nil
		}
		l = snapshot.Loaded[i]
		l.Unwatched = l.Unwatched || !snapshot.Complete
	}
	var gap int64
	err = q.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM record INDEXED BY by_kind WHERE "+isUnseen+" AND seq BETWEEN ? AND ? LIMIT 1)",
		l.Seq, found.Seq).Scan(&gap)
	l.Unwatched = l.Unwatched || gap > 0
	return l, err
}

// LastLoad gives the record of a module's last load in a run of the kernel, whatever was recorded of it since; nil where there
// is none.
func (r *Reader) LastLoad(ctx context.Context, boot, module string) (*Record, error) {
	for rec, err := range r.Query(ctx, Filter{
		Kinds: []Kind{KindAction}, Modules: []string{module}, Actions: []string{Load}, Outcomes: []string{Live}, Boots: []string{boot}, Limit: 1,
	}) {
		if err != nil {
			return nil, err
		}
		return &rec, nil
	}
	return nil, nil
}
