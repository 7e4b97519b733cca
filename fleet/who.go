package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sighting is that one machine has, or tried to load, a module.
type Sighting struct {
	Host     Host      `json:"host"`
	Journal  string    `json:"journal"`
	Records  int64     `json:"records"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	By       []string  `json:"by"`       // who, as far as that is known; the first few
	Outcomes []string  `json:"outcomes"` // of attempts
	Contents []string  `json:"contents"` // SHA-256 of its files; the first few
}

// few bounds lists of names that come from records.
const few = 8

// who selects the records that show a module.
const whoKinds = `"kmodtrace.kind":in(action,present,appeared) !"kmodtrace.action":=request`

// Who tells which machines have a module, or the content with a SHA-256 (64 hexadecimal digits), or
// tried to load or unload it: first those that had it first.
func (f *Fleet) Who(ctx context.Context, name string) ([]Sighting, error) {
	q := query{module: name}
	if isHash(name) {
		q = query{content: strings.ToLower(name)}
	}
	found := map[string]*Sighting{}
	for i, s := range f.sources {
		var err error
		if store, ok := s.(*Store); ok {
			err = store.who(ctx, q, found)
		} else {
			err = countWho(ctx, s, q, found)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.names[i], err)
		}
	}
	all := make([]Sighting, 0, len(found))
	for _, s := range found {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Sighting) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Host.key(), b.Host.key()), strings.Compare(a.Journal, b.Journal))
	})
	return all, nil
}

func isHash(text string) bool {
	return len(text) == 64 && strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
}

// countWho counts each record once: a source may have it several times, which are near each other.
func countWho(ctx context.Context, s source, q query, found map[string]*Sighting) error {
	seen := newRecent()
	for r, err := range s.records(ctx, q) {
		if err != nil {
			return err
		}
		if r.head != nil || !shows(r) || seen.has(r) {
			continue
		}
		one := sighting(found, r.Host, r.Journal)
		one.add(1, r.Time, r.Time, names(r.User), names(r.Outcome), names(r.Content))
	}
	return nil
}

func names(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

func sighting(found map[string]*Sighting, h Host, name string) *Sighting {
	key := h.key() + "\x00" + name
	one := found[key]
	if one == nil {
		one = &Sighting{Host: h, Journal: name, By: []string{}, Outcomes: []string{}, Contents: []string{}}
		found[key] = one
	}
	return one
}

func (s *Sighting) add(n int64, first, last time.Time, by, outcomes, contents []string) {
	s.Records += n
	if s.First.IsZero() || first.Before(s.First) {
		s.First = first
	}
	s.Last = later(s.Last, last)
	s.By, s.Outcomes, s.Contents = join(s.By, by), join(s.Outcomes, outcomes), join(s.Contents, contents)
}

// join keeps the first few of two lists, sorted.
func join(a, b []string) []string {
	set := map[string]bool{}
	for _, name := range append(slices.Clone(a), b...) {
		if name != "" {
			set[name] = true
		}
	}
	all := slices.Sorted(maps.Keys(set))
	return all[:min(len(all), few)]
}

// who lets the store count.
func (s *Store) who(ctx context.Context, q query, found map[string]*Sighting) error {
	ask := fmt.Sprintf(`%s %s | stats by ("host.id", "host.name", "kmodtrace.journal") count_uniq_hash("kmodtrace.seq") n, min(_time) first, max(_time) last,
		uniq_values("user.name") limit %d users, uniq_values("kmodtrace.outcome") limit %d outcomes, uniq_values("kmodtrace.sha256") limit %d contents`,
		q.selector(), whoKinds, few, few, few)
	for fields, err := range s.query(ctx, ask) {
		if err != nil {
			return err
		}
		n, first, last, err := counted(fields)
		if err != nil {
			return err
		}
		h := Host{ID: fields[fieldHostID], Name: fields[fieldHostName]}
		sighting(found, h, fields[fieldJournal]).add(n, first, last, list(fields["users"]), list(fields["outcomes"]), list(fields["contents"]))
	}
	return nil
}

// counted reads what stats gave.
func counted(fields map[string]string) (n int64, first, last time.Time, err error) {
	if n, err = strconv.ParseInt(fields["n"], 10, 64); err != nil {
		return n, first, last, fmt.Errorf("the store counted %.40q: not a number", fields["n"])
	}
	if first, err = time.Parse(time.RFC3339Nano, fields["first"]); err == nil {
		last, err = time.Parse(time.RFC3339Nano, fields["last"])
	}
	return n, first, last, err
}

// list reads a list of names that a store gave.
func list(text string) (all []string) {
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	return all
}

// recent remembers records, so that one that comes again is not counted again. It is bounded: a
// record is sent again soon after it was sent, or after a gap that its output had.
type recent struct {
	now, old map[[40]byte]bool
}

// maxRecent is how many records are remembered, at least.
const maxRecent = 1 << 18

func newRecent() *recent { return &recent{map[[40]byte]bool{}, nil} }

func (r *recent) has(one *Record) bool {
	var key [40]byte
	copy(key[:32], one.Hash[:])
	for i := range 8 {
		key[32+i] = byte(one.Seq >> (8 * i))
	}
	if r.now[key] || r.old[key] {
		return true
	}
	if len(r.now) >= maxRecent {
		r.now, r.old = map[[40]byte]bool{}, r.now
	}
	r.now[key] = true
	return false
}
