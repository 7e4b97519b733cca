package fleet

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Difference says in what a machine is not like the others of its group.
type Difference string

// The differences.
const (
	Extra   Difference = "extra"   // it has a module that most do not have
	Lacking Difference = "lacking" // it lacks one that most have
	Other   Difference = "content" // its module was loaded from another file than that of most
)

// Drift is one difference.
type Drift struct {
	Host       Host       `json:"host"`
	Journal    string     `json:"journal"`
	Group      string     `json:"group"` // the release of the kernel
	Difference Difference `json:"difference"`
	Module     string     `json:"module"`
	Content    string     `json:"content,omitempty"`
	By         string     `json:"by,omitempty"`
	Hosts      int        `json:"hosts"` // how many of the group are so
	Of         int        `json:"of"`
}

// Drift compares what is loaded at a time on the machines with one release of the kernel, and
// gives those that differ from more than half of them.
func (f *Fleet) Drift(ctx context.Context, at time.Time) ([]Drift, error) {
	all, err := f.LoadedAt(ctx, at)
	if err != nil {
		return nil, err
	}
	groups := map[string][]*Loaded{}
	for i := range all {
		groups[all[i].Host.Kernel] = append(groups[all[i].Host.Kernel], &all[i])
	}
	out := []Drift{}
	for name, group := range groups {
		out = append(out, driftIn(name, group)...)
	}
	slices.SortFunc(out, func(a, b Drift) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), cmp.Compare(a.Hosts, b.Hosts), strings.Compare(a.Module, b.Module), strings.Compare(a.Host.String(), b.Host.String()), strings.Compare(a.Journal, b.Journal))
	})
	return out, nil
}

func driftIn(name string, group []*Loaded) (out []Drift) {
	have, contents := map[string]int{}, map[string]map[string]int{}
	for _, l := range group {
		for _, m := range l.Modules {
			have[m.Module]++
			if m.Content != "" {
				if contents[m.Module] == nil {
					contents[m.Module] = map[string]int{}
				}
				contents[m.Module][m.Content]++
			}
		}
	}
	of := len(group)
	for _, l := range group {
		has := map[string]bool{}
		base := Drift{Host: l.Host, Journal: l.Journal, Group: name, Of: of}
		for _, m := range l.Modules {
			has[m.Module] = true
			d := base
			d.Module, d.Content, d.By = m.Module, m.Content, m.By
			usual, n := most(contents[m.Module])
			switch {
			case 2*have[m.Module] < of:
				d.Difference, d.Hosts = Extra, have[m.Module]
			case m.Content != "" && m.Content != usual && 2*n > of:
				d.Difference, d.Hosts = Other, contents[m.Module][m.Content]
			default:
				continue
			}
			out = append(out, d)
		}
		for module, n := range have {
			if 2*n > of && !has[module] {
				d := base
				d.Difference, d.Module, d.Hosts = Lacking, module, of-n
				out = append(out, d)
			}
		}
	}
	return out
}

// most gives what most have, and how many.
func most(counts map[string]int) (value string, n int) {
	for v, k := range counts {
		if k > n || k == n && v < value {
			value, n = v, k
		}
	}
	return value, n
}
