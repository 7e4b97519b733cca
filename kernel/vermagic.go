package kernel

import "strings"

// isVermagic tells whether a text is the vermagic of a kernel: its release, then words
// such as SMP, preempt, mod_unload, modversions.
func isVermagic(text, release string) bool {
	rest, ok := strings.CutPrefix(text, release+" ")
	if !ok {
		return false
	}
	for _, c := range []byte(rest) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	for _, word := range strings.Fields(rest) {
		switch word {
		case "SMP", "preempt", "preempt_rt", "mod_unload", "modversions":
			return true
		}
	}
	return false
}
