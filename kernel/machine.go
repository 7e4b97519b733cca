package kernel

import (
	"strings"
)

// machineName turns uname's word for an architecture into that of its ELF files.
func machineName(uname string) string {
	switch {
	case uname == "x86_64":
		return "x86-64"
	case len(uname) == 4 && uname[0] == 'i' && strings.HasSuffix(uname, "86"):
		return "x86"
	case strings.HasPrefix(uname, "riscv"):
		return "riscv"
	case strings.HasPrefix(uname, "ppc64"):
		return "ppc64"
	case strings.HasPrefix(uname, "ppc"):
		return "ppc"
	case strings.HasPrefix(uname, "s390"):
		return "s390"
	case strings.HasPrefix(uname, "mips"):
		return "mips"
	case strings.HasPrefix(uname, "loongarch"):
		return "loongarch"
	case strings.HasPrefix(uname, "armv"):
		return "arm"
	}
	return uname
}
