package trial

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Area is a part of the kernel's memory that a module's code or data is in.
type Area struct {
	Module  string `json:"module"`
	Section string `json:"section,omitempty"` // of the file; empty where it is not known
	Address uint64 `json:"address"`
	Size    uint64 `json:"size"` // 0 for a section: up to the next
}

// Allocation is memory that a module took and that is still there.
type Allocation struct {
	// Pool is what it came from: the name of a slab, or vmalloc.
	Pool  string `json:"pool"`
	Count int    `json:"count"`
	// Bytes are of all of them; 0 where it is not known.
	Bytes uint64 `json:"bytes,omitempty"`
	// Module, Section and Offset are the place in the module that asked for it.
	Module  string `json:"module"`
	Section string `json:"section,omitempty"`
	Offset  uint64 `json:"offset"`
	// Place is the function there and what line, where the file tells.
	Place string `json:"place,omitempty"`
}

// areas knows the places of all copies that were loaded.
type areas []Area

// find gives the area of an address, and how far in it is.
func (a areas) find(address uint64) (Area, uint64, bool) {
	var found Area
	ok := false
	for _, one := range a {
		if address < one.Address || one.Size > 0 && address >= one.Address+one.Size {
			continue
		}
		// A section is told by the nearest that begins before it, within the module's own.
		if !ok || one.Section != "" && (found.Section == "" || one.Address >= found.Address) {
			found, ok = one, true
		}
	}
	return found, address - found.Address, ok
}

// slabFiles is where a kernel that was told to keeps who allocated what.
var slabFiles = []string{"/sys/kernel/debug/slab/*/alloc_traces", "/sys/kernel/slab/*/alloc_calls"}

// tracksAllocations tells whether this kernel does.
func tracksAllocations() bool {
	for _, pattern := range slabFiles {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

// allocations are those that code in one of the areas made.
func allocations(in areas) []Allocation {
	var all []Allocation
	seen := make(map[string]bool) // slabs have several names
	for _, pattern := range slabFiles {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			directory, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil || seen[directory] {
				continue
			}
			seen[directory] = true
			all = append(all, readFile(path, func(r io.Reader) []Allocation {
				return slabAllocations(r, filepath.Base(filepath.Dir(path)), in)
			})...)
		}
	}
	all = append(all, readFile("/proc/vmallocinfo", func(r io.Reader) []Allocation { return vmallocs(r, in) })...)
	return summed(all)
}

func readFile(path string, read func(io.Reader) []Allocation) []Allocation {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return read(f)
}

// slabLine is the first of an entry: how many, and where; the stack follows, indented
// further. An address that is in no module any more is printed as it is.
var slabLine = lazyregexp.New(`^ *(\d+) (\S+)(.*)$`)

// slabAllocations reads alloc_traces (from 5.14) or alloc_calls.
func slabAllocations(r io.Reader, pool string, in areas) (all []Allocation) {
	var err error
	count, size := 0, uint64(0)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		place := strings.TrimSpace(text)
		if m := slabLine.FindStringSubmatch(text); m != nil {
			if count, err = strconv.Atoi(m[1]); err != nil {
				count = 0
			}
			size = slabSize(pool)
			place = m[2]
		}
		address, ok := rawAddress(place)
		if !ok || count == 0 {
			continue
		}
		if area, offset, ok := in.find(address); ok {
			all = append(all, Allocation{Pool: pool, Count: count, Bytes: uint64(count) * size, Module: area.Module, Section: area.Section, Offset: offset})
			count = 0 // the rest of the stack is who called that
		}
	}
	return all
}

// slabSize reads the size of its objects off the name that general slabs have.
func slabSize(pool string) uint64 {
	i := strings.LastIndexByte(pool, '-')
	number, unit := pool[i+1:], uint64(1)
	if n, ok := strings.CutSuffix(number, "k"); ok {
		number, unit = n, 1024
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || !strings.HasPrefix(pool, "kmalloc-") {
		return 0
	}
	return n * unit
}

func rawAddress(place string) (uint64, bool) {
	text, ok := strings.CutPrefix(place, "0x")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 16, 64)
	return n, err == nil
}

// vmallocs reads /proc/vmallocinfo: a range, its bytes, who asked for it, and more.
func vmallocs(r io.Reader, in areas) (all []Allocation) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			continue
		}
		bytes, err := strconv.ParseUint(fields[1], 10, 64)
		address, ok := rawAddress(fields[2])
		if err != nil || !ok {
			continue
		}
		if area, offset, ok := in.find(address); ok {
			all = append(all, Allocation{Pool: "vmalloc", Count: 1, Bytes: bytes, Module: area.Module, Section: area.Section, Offset: offset})
		}
	}
	return all
}

// summed makes one of those of the same pool and place.
func summed(all []Allocation) []Allocation {
	place := func(a Allocation) Allocation { a.Count, a.Bytes = 0, 0; return a }
	sums := make(map[Allocation]Allocation)
	for _, a := range all {
		sum := sums[place(a)]
		a.Count, a.Bytes = a.Count+sum.Count, a.Bytes+sum.Bytes
		sums[place(a)] = a
	}
	all = all[:0]
	for _, a := range sums {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Allocation) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Section, b.Section), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Pool, b.Pool))
	})
	return all
}
