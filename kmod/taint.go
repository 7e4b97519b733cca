package kmod

import "github.com/kmodtrace/kmodtrace/internal/taint"

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
		taints = append(taints, Taint{Letter: string(c), Word: taint.OfLetter(c)})
	}
	return taints
}
