package kmod

import "fmt"

// Taint is one mark that a module carries and has put on the kernel.
type Taint struct {
	Letter string `json:"letter"` // as in /proc/modules, and in an oops
	Word   string `json:"word"`   // what it means
}

// String gives the word.
func (t Taint) String() string { return t.Word }

// parseTaints reads the letters of /proc/modules or /sys/module/NAME/taint. The
// signs + (loading) and - (unloading) that /proc/modules adds are not taints.
func parseTaints(letters string) []Taint {
	var taints []Taint
	for _, c := range letters {
		if c == '+' || c == '-' {
			continue
		}
		taints = append(taints, Taint{Letter: string(c), Word: taintWord(c)})
	}
	return taints
}

// taintWord names the taints that the kernel shows for a module: those with the
// module mark in its taint_flags table, of all kernels from 5.10 on.
func taintWord(letter rune) string {
	switch letter {
	case 'P':
		return "proprietary"
	case 'F':
		return "force-loaded"
	case 'R':
		return "force-unloaded"
	case 'C':
		return "staging"
	case 'O':
		return "out-of-tree"
	case 'E':
		return "unsigned"
	case 'K':
		return "livepatch"
	case 'X':
		return "auxiliary"
	case 'T':
		return "randstruct"
	case 'N':
		return "test"
	case 'J':
		return "fwctl"
	}
	return fmt.Sprintf("taint-%c", letter)
}
