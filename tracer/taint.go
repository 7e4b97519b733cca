package tracer

import (
	"encoding/json"

	"github.com/kmodtrace/kmodtrace/internal/taint"
)

// Taints is the set of a module's taints, a bit each (TAINT_* of
// include/linux/panic.h). Bits that no name is known for keep their number.
type Taints uint64

// Names gives the taints as words, lowest bit first. The words are those of kmod.Taint.
func (t Taints) Names() []string {
	names := []string{}
	for bit := range 64 {
		if t&(1<<bit) != 0 {
			names = append(names, taint.Word(bit))
		}
	}
	return names
}

// MarshalJSON gives the words.
func (t Taints) MarshalJSON() ([]byte, error) { return json.Marshal(t.Names()) }

// UnmarshalJSON reads the words, also those of earlier releases.
func (t *Taints) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	*t = 0
	for _, name := range names {
		if bit, ok := taint.Bit(name); ok {
			*t |= 1 << bit
		}
	}
	return nil
}
