package output

import (
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// level is how much an entry wants to be seen, by syslog's numbers.
type level int

const (
	levelCritical level = 2
	levelError    level = 3
	levelWarning  level = 4
	levelNotice   level = 5
	levelInfo     level = 6
)

func (l level) String() string {
	switch l {
	case levelCritical:
		return "critical"
	case levelError:
		return "error"
	case levelWarning:
		return "warning"
	case levelNotice:
		return "notice"
	}
	return "info"
}

// level: what was lost is an error, what failed a warning, what changed the kernel or
// what is known of it a notice. A finding's is that of its severity.
func (e *Entry) level() level {
	if f := e.Finding; f != nil {
		return map[rule.Severity]level{
			rule.Info: levelInfo, rule.Low: levelNotice, rule.Medium: levelWarning, rule.High: levelError, rule.Critical: levelCritical,
		}[f.Severity]
	}
	if a := e.Known; a != nil {
		switch {
		case a.Crashed:
			return levelError
		case a.Outcome == tracer.Failed, len(a.Warnings) > 0, a.Lost > 0, a.EndLost, a.Preliminary:
			return levelWarning
		case a.Outcome == tracer.Live, a.Outcome == tracer.Unloaded:
			return levelNotice
		}
		return levelInfo
	}
	switch e.Kind {
	case journal.KindLost, journal.KindCorrupt, journal.KindBlind, journal.KindAppeared, journal.KindVanished:
		return levelError
	case journal.KindStarted, journal.KindStopped, journal.KindInventory, journal.KindPresent:
		return levelInfo
	}
	return levelNotice
}
