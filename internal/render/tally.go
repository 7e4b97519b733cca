package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// Tally counts what a watch saw.
type Tally struct {
	Shown, Events            uint64
	loads, unloads, requests uint64
	failed, pending          uint64
}

// Action counts an action.
func (t *Tally) Action(a *tracer.Action) {
	switch a.Kind {
	case tracer.Unload:
		t.unloads++
	case tracer.Autoload:
		t.requests++
	default:
		t.loads++
	}
	switch a.Outcome {
	case tracer.Failed:
		t.failed++
	case tracer.Pending:
		t.pending++
	}
}

// Text sums up what was seen: events, or else actions.
func (t *Tally) Text(events bool) string {
	if events {
		return fmt.Sprintf("saw %s, showed %d", cells.Plural(t.Events, "event"), t.Shown)
	}
	total := t.loads + t.unloads + t.requests
	if total == 0 {
		return "saw no action of the kernel with modules"
	}
	text := fmt.Sprintf("saw %s, %s and %s", cells.Plural(t.loads, "load"), cells.Plural(t.unloads, "unload"), cells.Plural(t.requests, "request"))
	var of []string
	if t.failed > 0 {
		of = append(of, fmt.Sprintf("%d failed", t.failed))
	}
	if t.pending > 0 {
		of = append(of, fmt.Sprintf("%d not ended", t.pending))
	}
	if len(of) > 0 {
		text += " (" + strings.Join(of, ", ") + ")"
	}
	if t.Shown != total {
		text += fmt.Sprintf(", showed %d", t.Shown)
	}
	return text
}

// LossText says what was lost, in one line.
func LossText(l tracer.Loss) string {
	if !l.Any() {
		return "lost nothing"
	}
	var parts []string
	add := func(n uint64, what string) {
		if n > 0 {
			parts = append(parts, cells.Plural(n, what))
		}
	}
	add(l.Events, "event")
	if l.Unprivileged > 0 {
		parts[len(parts)-1] += fmt.Sprintf(" (%d of callers who may not load modules)", l.Unprivileged)
	}
	add(l.Untracked, "untracked attempt")
	add(l.Missed, "probe run")
	if l.Missed > 0 && len(l.MissedBy) > 0 {
		parts[len(parts)-1] += " (" + missedText(l.MissedBy) + ")"
	}
	add(l.Dropped, "unfinished action")
	return "lost " + strings.Join(parts, ", ")
}

// DisturbancesText says what disturbed the hooks, in one line.
func DisturbancesText(all []tracer.Disturbance) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = d.String()
	}
	return strings.Join(texts, "; ")
}

// missedText says which probes did not run, and how often.
func missedText(missed map[string]uint64) string {
	var parts []string
	for _, target := range slices.Sorted(maps.Keys(missed)) {
		parts = append(parts, fmt.Sprintf("%s: %d", target, missed[target]))
	}
	return strings.Join(parts, ", ")
}

// SayReady says what is attached, and what is not and therefore not seen.
func SayReady(log *zerolog.Logger, c tracer.Coverage, took time.Duration) {
	attached := 0
	for _, h := range c.Hooks {
		if h.Attached {
			attached++
		}
	}
	text := fmt.Sprintf("ready: %s attached in %s, backend %v", cells.Plural(uint64(attached), "hook"), cells.Duration(took), c.Backend)
	if c.WhyKprobe != "" {
		text += fmt.Sprintf(" (no fentry: %s)", cells.ShortLine(c.WhyKprobe))
	}
	log.Info().Int("hooks", attached).Stringer("backend", c.Backend).Int64("took_ns", int64(took)).Msg(text)
	SayBlind(log, c)
}

// SayBlind says what is not seen, a line for each hook that is not attached.
func SayBlind(log *zerolog.Logger, c tracer.Coverage) {
	for _, h := range c.Degraded() {
		log.Warn().Str("target", h.Target).Str("how", h.How).
			Msgf("not seen: %s (%s of %s: %s)", h.Tells, h.How, h.Target, whyNot(h))
	}
}

// whyNot says why a hook is not attached.
func whyNot(h tracer.HookStatus) string {
	if h.Absent {
		return "this kernel has no such function"
	}
	return cells.ShortLine(h.Why)
}
