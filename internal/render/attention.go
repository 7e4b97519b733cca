package render

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// attentive is how often a watch says what is not among the actions.
const attentive = time.Second

// attention says what a tracer does not tell as actions: refusals that it only counts, and
// what disturbs its hooks.
type attention struct {
	tracer *tracer.Tracer
	log    *zerolog.Logger
	names  Users
	counts map[tracer.Folded]uint64 // by what counts, as last said
	said   map[string]bool          // disturbances that last, as last said
	times  map[string]uint64        // of those that are counted

	stop chan struct{}
	done sync.WaitGroup
}

// Attend looks once a second, until it is ended.
func Attend(t *tracer.Tracer, log *zerolog.Logger) *attention {
	a := &attention{
		tracer: t, log: log, names: make(Users), counts: make(map[tracer.Folded]uint64),
		said: make(map[string]bool), times: make(map[string]uint64), stop: make(chan struct{}),
	}
	a.done.Go(func() {
		tick := time.NewTicker(attentive)
		defer tick.Stop()
		for {
			select {
			case <-a.stop:
				return
			case <-tick.C:
				a.look()
			}
		}
	})
	return a
}

// End looks a last time. Calling it again does nothing.
func (a *attention) End() {
	select {
	case <-a.stop:
		return
	default:
	}
	close(a.stop)
	a.done.Wait()
	a.look()
}

func (a *attention) look() {
	folded, err := a.tracer.Folded()
	if err != nil {
		a.log.Warn().Msg(err.Error())
	}
	if text := a.news(folded); text != "" {
		a.log.Warn().Msg("counted, not shown one by one: " + text)
	}
	for _, d := range a.disturbed(a.tracer.Disturbances()) {
		a.log.Warn().Str("target", d.What).Uint64("count", d.Count).Msgf("hooks are disturbed: %s", d)
	}
}

// news says what was counted since it was last asked.
func (a *attention) news(folded []tracer.Folded) string {
	var fresh []tracer.Folded
	for _, f := range folded {
		key := tracer.Folded{UID: f.UID, Others: f.Others, Kind: f.Kind}
		n := f.Count - a.counts[key]
		a.counts[key] = f.Count
		if f.Count = n; n > 0 {
			fresh = append(fresh, f)
		}
	}
	return FoldedText(fresh, a.names)
}

// disturbed gives what is new of it, and forgets what does not last any more.
func (a *attention) disturbed(now []tracer.Disturbance) (fresh []tracer.Disturbance) {
	lasting := make(map[string]bool)
	for _, d := range now {
		key := d.What + d.Why
		lasting[key] = true
		if !a.said[key] || d.Count > a.times[key] {
			fresh = append(fresh, d)
		}
		a.times[key] = d.Count
	}
	a.said = lasting
	return fresh
}

// mostFolded bounds the users of whom one line tells.
const mostFolded = 3

// FoldedText says how many refusals there were, and of whom most.
func FoldedText(folded []tracer.Folded, names Users) string {
	if len(folded) == 0 {
		return ""
	}
	all := slices.Clone(folded)
	slices.SortStableFunc(all, func(a, b tracer.Folded) int {
		if a.Count > b.Count {
			return -1
		}
		return 1
	})
	var parts []string
	var rest uint64
	for i, f := range all {
		if i >= mostFolded || f.Others {
			rest += f.Count
			continue
		}
		parts = append(parts, fmt.Sprintf("%s by %s", cells.Plural(f.Count, "refused "+f.Kind.String()), names.name(f.UID)))
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d more by others", rest))
	}
	return strings.Join(parts, ", ")
}

// FoldedTotal is how many actions were counted and not shown one by one.
func FoldedTotal(folded []tracer.Folded) (n uint64) {
	for _, f := range folded {
		n += f.Count
	}
	return n
}
