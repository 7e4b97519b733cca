package tracer

// Level is how severe the kernel takes a message to be. The zero value is: not known.
type Level uint8

//go:generate go tool stringer -type=Level -linecomment -output=level_string.go

// The levels of printk, the most severe first.
const (
	LevelUnknown Level = iota // unknown
	LevelEmerg                // emerg
	LevelAlert                // alert
	LevelCrit                 // crit
	LevelErr                  // err
	LevelWarning              // warning
	LevelNotice               // notice
	LevelInfo                 // info
	LevelDebug                // debug
)

// AtLeast tells whether it is known to be as severe as another, or more.
func (l Level) AtLeast(other Level) bool { return l != LevelUnknown && l <= other }

// MarshalText gives the name that [Level.String] gives.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name that [Level.String] gives.
func (l *Level) UnmarshalText(text []byte) error { return parseName(l, text, LevelUnknown, LevelDebug) }

// levelOf reads a level as the kernel side tells it.
func levelOf(n uint32) Level {
	if n > uint32(LevelDebug) {
		return LevelUnknown
	}
	return Level(n)
}
