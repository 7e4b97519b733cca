package tracer

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Taints is the set of a module's taints, a bit each (TAINT_* of
// include/linux/panic.h). Bits that no name is known for keep their number.
type Taints uint64

// taintName gives the words for the bits that a module can carry, and for those that
// say what happened to a kernel, in the kernel's terms.
func taintName(bit int) string {
	switch bit {
	case 0:
		return "proprietary"
	case 1:
		return "forced-load"
	case 4:
		return "machine-check"
	case 5:
		return "bad-page"
	case 7:
		return "died"
	case 9:
		return "warned"
	case 10:
		return "staging"
	case 12:
		return "out-of-tree"
	case 13:
		return "unsigned"
	case 14:
		return "soft-lockup"
	case 15:
		return "livepatch"
	case 18:
		return "test"
	default:
		return "taint-" + strconv.Itoa(bit)
	}
}

// Names gives the taints as words, lowest bit first.
func (t Taints) Names() []string {
	names := []string{}
	for bit := range 64 {
		if t&(1<<bit) != 0 {
			names = append(names, taintName(bit))
		}
	}
	return names
}

// MarshalJSON gives the words.
func (t Taints) MarshalJSON() ([]byte, error) { return json.Marshal(t.Names()) }

// UnmarshalJSON reads the words.
func (t *Taints) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	*t = 0
	for bit := range 64 {
		if slices.Contains(names, taintName(bit)) {
			*t |= 1 << bit
		}
	}
	return nil
}
