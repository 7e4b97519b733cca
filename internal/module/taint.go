package module

import "strconv"

// Taint is one bit of the kernel's taint mask (TAINT_* of include/linux/panic.h).
type Taint struct {
	Letter byte   // as in /proc/modules, and in an oops
	Word   string // what it means
}

// taint gives the taint of a bit, of all kernels from 5.10 on. The bits that only a kernel
// has, never a module, are here too: a virtual machine's whole mask is shown.
func taint(bit int) Taint {
	switch bit {
	case 0:
		return Taint{'P', "proprietary"}
	case 1:
		return Taint{'F', "force-loaded"}
	case 2:
		return Taint{'S', "cpu-out-of-spec"}
	case 3:
		return Taint{'R', "force-unloaded"}
	case 4:
		return Taint{'M', "machine-check"}
	case 5:
		return Taint{'B', "bad-page"}
	case 6:
		return Taint{'U', "user"}
	case 7:
		return Taint{'D', "died"}
	case 8:
		return Taint{'A', "acpi-overridden"}
	case 9:
		return Taint{'W', "warned"}
	case 10:
		return Taint{'C', "staging"}
	case 11:
		return Taint{'I', "firmware-workaround"}
	case 12:
		return Taint{'O', "out-of-tree"}
	case 13:
		return Taint{'E', "unsigned"}
	case 14:
		return Taint{'L', "soft-lockup"}
	case 15:
		return Taint{'K', "livepatch"}
	case 16:
		return Taint{'X', "auxiliary"}
	case 17:
		return Taint{'T', "randstruct"}
	case 18:
		return Taint{'N', "test"}
	case 19:
		return Taint{'J', "fwctl"}
	}
	return Taint{}
}

// taintBits is how many bits a mask of taints has.
const taintBits = 64

// TaintWord gives the word for a bit, or taint-N for one that no word is known for.
func TaintWord(bit int) string {
	if t := taint(bit); t.Word != "" {
		return t.Word
	}
	return numbered(bit)
}

// LetterWord gives the word for the letter of a taint, or taint-X for one that no word is
// known for.
func LetterWord(letter rune) string {
	for bit := range taintBits {
		if t := taint(bit); t.Word != "" && rune(t.Letter) == letter {
			return t.Word
		}
	}
	return "taint-" + string(letter)
}

// TaintBit gives the bit that a word means, and false for none. It also knows the words of
// earlier releases, which stand in recorded events: the number of each bit, and
// "forced-load".
func TaintBit(word string) (bit int, ok bool) {
	if word == "forced-load" {
		word = taint(1).Word
	}
	for bit := range taintBits {
		if word == TaintWord(bit) || word == numbered(bit) {
			return bit, true
		}
	}
	return 0, false
}

func numbered(bit int) string { return "taint-" + strconv.Itoa(bit) }
