package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// findClones reports machines that have one machine-id: two journals of one id that were written
// at the same time, in different runs of the kernel. A journal that was set aside ends before the
// next of its machine begins.
func findClones(all []*Verified) {
	byID := map[string][]*Verified{}
	for _, v := range all {
		seen := map[string]bool{}
		for _, h := range v.Hosts {
			if h.ID != "" && !seen[h.ID] {
				seen[h.ID] = true
				byID[h.ID] = append(byID[h.ID], v)
			}
		}
		oneJournal(v)
	}
	for id, same := range byID {
		for i, a := range same {
			for _, b := range same[i+1:] {
				if !together(a, b) {
					continue
				}
				a.clone(fmt.Sprintf("another machine with the same machine-id (%.8s) wrote journal %.8s at the same time (%s)", id, b.Journal, b.Host()))
				b.clone(fmt.Sprintf("another machine with the same machine-id (%.8s) wrote journal %.8s at the same time (%s)", id, a.Journal, a.Host()))
			}
		}
	}
}

func (v *Verified) clone(text string) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, Problem{Trouble: Cloned, Text: text})
	} else {
		v.More++
	}
}

// together tells whether two journals were written at the same time, and not in one run of a
// kernel.
func together(a, b *Verified) bool {
	overlap := false
	for _, r := range a.Runs {
		for _, s := range b.Runs {
			if r.Boot == s.Boot {
				return false
			}
			overlap = overlap || meet(r.First, r.Last, s.First, s.Last)
		}
	}
	return overlap
}

func meet(a, b, c, d time.Time) bool { return a.Before(d) && c.Before(b) }

// oneJournal finds a machine that was copied with its journal: in the order of the numbers, one run
// of the kernel begins before the other ends. A clock that was wrong does not look so.
func oneJournal(v *Verified) {
	runs := slices.Clone(v.Runs)
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.From, b.From) })
	for i := 1; i < len(runs); i++ {
		if runs[i].From <= runs[i-1].Through {
			v.clone(fmt.Sprintf("two runs of the kernel (%.8s and %.8s) went on with it from record %d on: the machine was copied with its journal, or an old copy of the journal was put back", runs[i-1].Boot, runs[i].Boot, runs[i].From))
			return
		}
	}
}
