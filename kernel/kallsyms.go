package kernel

import (
	"bytes"
	"strconv"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// kallsyms is what a list of the kernel's symbols tells: /proc/kallsyms, or System.map.
type kallsyms struct {
	// addresses of the kernel's own symbols that are wanted here; zero where the list
	// hides them, or has two of the name.
	addresses map[string]uint64
	// exported has the names whose entry in an export table is listed, with the
	// module that has it: nothing for the kernel. Lists of kernels without
	// CONFIG_KALLSYMS_ALL have none.
	exported map[string]string
}

// wantedSymbols are those whose memory is read.
var wantedSymbols = [...]string{
	"__start___ksymtab", "__stop___ksymtab", "__start___ksymtab_gpl", "__stop___ksymtab_gpl",
	"__start___kcrctab", "__stop___kcrctab", "__start___kcrctab_gpl", "__stop___kcrctab_gpl",
	"__start___kflagstab", "__stop___kflagstab",
	"modules", "vermagic",
	"builtin_trusted_keys", "secondary_trusted_keys", "machine_trusted_keys", "platform_trusted_keys", "blacklist_keyring",
}

// readKallsyms takes the running kernel's list, or an installed kernel's System.map.
func (k *Kernel) readKallsyms() (*kallsyms, error) {
	path := k.path("proc/kallsyms")
	if !k.running {
		path = k.path("boot/System.map-" + k.release)
		if !k.exists("boot/System.map-" + k.release) {
			path = k.path("lib/modules/" + k.release + "/System.map")
		}
	}
	symbols := newKallsyms()
	for line, err := range fileLines(path) {
		if err != nil {
			return nil, unknown("%w", err)
		}
		symbols.add(line)
	}
	return symbols, nil
}

func newKallsyms() *kallsyms {
	symbols := &kallsyms{addresses: make(map[string]uint64), exported: make(map[string]string)}
	for _, name := range wantedSymbols {
		symbols.addresses[name] = 0
	}
	return symbols
}

// add reads one line, which it does not keep.
func (s *kallsyms) add(line []byte) {
	symbol, ok := procfs.ParseSymbol(line)
	if !ok {
		return
	}
	if export, ok := bytes.CutPrefix(symbol.Name, []byte("__ksymtab_")); ok {
		s.exported[string(export)] = string(symbol.Module)
		return
	}
	before, wanted := s.addresses[string(symbol.Name)]
	if !wanted || len(symbol.Module) > 0 {
		return
	}
	value, err := strconv.ParseUint(string(symbol.Address), 16, 64)
	if err == nil && before == 0 {
		s.addresses[string(symbol.Name)] = value
	} else if before != value {
		delete(s.addresses, string(symbol.Name)) // two of the name: neither is known to be meant
	}
}

// span gives the memory between two symbols. No kernel's table comes near the bound.
func (s *kallsyms) span(start, stop string) (span, bool) {
	from, to := s.addresses[start], s.addresses[stop]
	if from == 0 || to < from || to-from > maxTable {
		return span{}, false
	}
	return span{from, int(to - from)}, true
}

// span is a piece of the kernel's memory.
type span struct {
	address uint64
	size    int
}

// textOf gives the text before the first NUL.
func textOf(data []byte) (string, bool) {
	text, _, ok := bytes.Cut(data, []byte{0})
	return string(text), ok
}
