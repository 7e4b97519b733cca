// Package taint has the one table of the kernel's taints. Package kmod owns these words; the
// table is below it because package tracer needs it too, and neither imports the other.
package taint

import "strconv"

// entry is one bit of the kernel's taint mask (TAINT_* of include/linux/panic.h).
type entry struct {
	letter byte   // as in /proc/modules, and in an oops
	word   string // what it means
}

// at gives the entry of a bit, of all kernels from 5.10 on. The bits that only a kernel
// has, never a module, are here too: a virtual machine's whole mask is shown.
func at(bit int) entry {
	switch bit {
	case 0:
		return entry{'P', "proprietary"}
	case 1:
		return entry{'F', "force-loaded"}
	case 2:
		return entry{'S', "cpu-out-of-spec"}
	case 3:
		return entry{'R', "force-unloaded"}
	case 4:
		return entry{'M', "machine-check"}
	case 5:
		return entry{'B', "bad-page"}
	case 6:
		return entry{'U', "user"}
	case 7:
		return entry{'D', "died"}
	case 8:
		return entry{'A', "acpi-overridden"}
	case 9:
		return entry{'W', "warned"}
	case 10:
		return entry{'C', "staging"}
	case 11:
		return entry{'I', "firmware-workaround"}
	case 12:
		return entry{'O', "out-of-tree"}
	case 13:
		return entry{'E', "unsigned"}
	case 14:
		return entry{'L', "soft-lockup"}
	case 15:
		return entry{'K', "livepatch"}
	case 16:
		return entry{'X', "auxiliary"}
	case 17:
		return entry{'T', "randstruct"}
	case 18:
		return entry{'N', "test"}
	case 19:
		return entry{'J', "fwctl"}
	}
	return entry{}
}

// bits is how many bits a mask of taints has.
const bits = 64

// Word gives the word for a bit, or taint-N for one that no word is known for.
func Word(bit int) string {
	if t := at(bit); t.word != "" {
		return t.word
	}
	return numbered(bit)
}

// OfLetter gives the word for the letter of a taint, or taint-X for one that no word is
// known for.
func OfLetter(letter rune) string {
	for bit := range bits {
		if t := at(bit); t.word != "" && rune(t.letter) == letter {
			return t.word
		}
	}
	return "taint-" + string(letter)
}

// Bit gives the bit that a word means, and false for none. It also knows the words of
// earlier releases, which stand in recorded events: the number of each bit, and
// "forced-load".
func Bit(word string) (bit int, ok bool) {
	if word == "forced-load" {
		word = at(1).word
	}
	for bit := range bits {
		if word == Word(bit) || word == numbered(bit) {
			return bit, true
		}
	}
	return 0, false
}

func numbered(bit int) string { return "taint-" + strconv.Itoa(bit) }
