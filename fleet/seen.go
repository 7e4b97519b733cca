package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is what [Fleet.FirstSeen] looks for.
type What string

// The things that can be new.
const (
	Contents What = "contents" // of modules' files, by their SHA-256
	Modules  What = "modules"  // by name
)

// First is something, and which machine had it first.
type First struct {
	Value   string    `json:"value"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Hosts   int       `json:"hosts"`   // how many have it, or tried
	Of      int       `json:"of"`      // how many there are
	Host    Host      `json:"host"`    // the first of them
	By      string    `json:"by"`      // who it was there, as far as that is known
	Modules []string  `json:"modules"` // the names that it has; the first few

	on map[string]bool // the machines
}

// FirstSeen tells what was seen nowhere before a time: first what few machines have. A content is
// known where the file of a load was read; an inventory knows names only.
func (f *Fleet) FirstSeen(ctx context.Context, what What, since time.Time) ([]First, error) {
	found, hosts := map[string]*First{}, map[string]bool{}
	for i, s := range f.sources {
		var err error
		if store, ok := s.(*Store); ok {
			err = store.firstSeen(ctx, what, since, found, hosts)
		} else {
			err = countFirst(ctx, s, what, found, hosts)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.names[i], err)
		}
	}
	all := []First{}
	for _, one := range found {
		if one.First.Before(since) {
			continue
		}
		one.Hosts, one.Of = max(one.Hosts, len(one.on)), len(hosts)
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b First) int {
		return cmp.Or(cmp.Compare(a.Hosts, b.Hosts), a.First.Compare(b.First), strings.Compare(a.Value, b.Value))
	})
	return all, nil
}

func countFirst(ctx context.Context, s source, what What, found map[string]*First, hosts map[string]bool) error {
	for r, err := range s.records(ctx, query{}) {
		if err != nil {
			return err
		}
		if r.head != nil {
			continue
		}
		hosts[r.hostKey()] = true
		value := r.Content
		if what == Modules {
			value = r.Module
		}
		if value == "" || !shows(r) {
			continue
		}
		one := first(found, value)
		one.on[r.hostKey()] = true
		one.see(r.Time, r.Host, r.User)
		one.Last = later(one.Last, r.Time)
		one.Modules = join(one.Modules, names(r.Module))
	}
	return nil
}

// hostKey tells machines apart, also where a source does not say more than which journal it is.
func (r *Record) hostKey() string {
	if r.Host.ID == "" && r.Host.Name == "" {
		return "\x00" + r.Journal
	}
	return r.Host.key()
}

func first(found map[string]*First, value string) *First {
	one := found[value]
	if one == nil {
		one = &First{Value: value, Modules: []string{}, on: map[string]bool{}}
		found[value] = one
	}
	return one
}

func (f *First) see(at time.Time, h Host, by string) {
	if f.First.IsZero() || at.Before(f.First) {
		f.First, f.Host, f.By = at, h, by
	}
}

// maxNamed bounds how many things of which the machines are asked for one by one.
const maxNamed = 100

// firstSeen lets the store find when each thing was first. Only of those that are new it asks on which
// machines they are: to count these of all things takes ten times as long.
func (s *Store) firstSeen(ctx context.Context, what What, since time.Time, found map[string]*First, hosts map[string]bool) error {
	field := fieldContent
	if what == Modules {
		field = fieldModule
	}
	for fields, err := range s.query(ctx, ours+` | uniq by ("host.id", "host.name")`) {
		if err != nil {
			return err
		}
		hosts[Host{ID: fields[fieldHostID], Name: fields[fieldHostName]}.key()] = true
	}
	ask := fmt.Sprintf(`%s %s:* %s | stats by (%s) min(_time) first, max(_time) last, count() n`, ours, quote(field), whoKinds, quote(field))
	var fresh []string
	for fields, err := range s.query(ctx, ask) {
		if err != nil {
			return err
		}
		_, at, last, err := counted(fields)
		if err != nil {
			return err
		}
		one := first(found, fields[field])
		one.see(at, Host{}, "")
		one.Last = later(one.Last, last)
		if !one.First.Before(since) {
			fresh = append(fresh, fields[field])
		}
	}
	for begin := 0; begin < len(fresh); begin += maxNamed {
		if err := s.details(ctx, field, fresh[begin:min(begin+maxNamed, len(fresh))], since, found); err != nil {
			return err
		}
	}
	return nil
}

// details asks on which machines new things are.
func (s *Store) details(ctx context.Context, field string, values []string, since time.Time, found map[string]*First) error {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	ask := fmt.Sprintf(`%s %s:in(%s) %s _time:>=%s | stats by (%s, "host.id", "host.name") row_min(_time, _time, "user.name", "kmodtrace.module") row`,
		ours, quote(field), strings.Join(quoted, ","), whoKinds, since.UTC().Format(time.RFC3339Nano), quote(field))
	for fields, err := range s.query(ctx, ask) {
		if err != nil {
			return err
		}
		row := object(fields["row"])
		at, err := time.Parse(time.RFC3339Nano, row[fieldTime])
		if err != nil {
			return fmt.Errorf("the store gave %.40q: not a time", row[fieldTime])
		}
		h := Host{ID: fields[fieldHostID], Name: fields[fieldHostName]}
		one := first(found, fields[field])
		one.on[h.key()] = true
		if at.Before(one.First) || at.Equal(one.First) && (one.Host == Host{} || h.key() < one.Host.key()) {
			one.First, one.Host, one.By = at, h, row[fieldUser]
		}
		one.Modules = join(one.Modules, names(row[fieldModule]))
	}
	return nil
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
