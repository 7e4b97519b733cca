// Package memory keeps small what the process has of the machine's memory.
package memory

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Release gives back what only the start of a long-running program needed: what its heap
// has too much of, and the pages of its own file, a third of which it never needs again.
// What it does need comes back from the page cache by itself. It costs a garbage
// collection.
func Release() {
	collectAt(100)
	debug.FreeOSMemory()
	releaseText()
}

// releaseText gives back the pages of the program's own file.
func releaseText() {
	for _, m := range ownText() {
		// Where that fails, more is resident than need be.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.begin, m.end-m.begin, unix.MADV_DONTNEED)
	}
}

// Frugal is for a process that runs for long beside the work of others. It collects its garbage twice
// as often as Go programs do, unless GOGC says how often, until [Release]: the start takes the most
// memory. It gives back the pages of its file that only the initialization of packages needed. And it has
// no huge pages, where a machine gives them to all: khugepaged makes 2 MiB of each such part of the
// address space in which one page is used (max_ptes_none, mm/khugepaged.c), and made of a heap of 6 MiB
// one of 25 (measured on Linux 6.12). Programs that the process starts have none either.
func Frugal() {
	collectAt(50)
	// Where that fails, as before Linux 3.15, more is resident than need be.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	releaseText()
}

// collectAt sets by how many percent the heap grows until its garbage is collected.
func collectAt(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// mapping is a range of addresses.
type mapping struct{ begin, end uintptr }

// ownText lists where the program's file is mapped and cannot be written: such pages are
// as the file has them.
func ownText() (list []mapping) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var m mapping
		var access string
		_, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &m.begin, &m.end, &access)
		if err == nil && strings.HasPrefix(access, "r-") && strings.HasSuffix(lines.Text(), " "+self) {
			list = append(list, m)
		}
	}
	return list
}
