package tracer

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// The place in the kernel's code that a request comes from. Where it can, the kernel names
// it at the request's moment, while that code certainly runs. Kernels before 5.13 give the
// address only: moduleRanges (ranges.go) finds the module that was there at the time, and
// kernelSites (sites.go) the function of the kernel itself.

// siteText is what the kernel's format %pB gives: "nested_init+0x1e/0x40 [nested]".
var siteText = lazyregexp.New(`^(.+)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?: \[([^\]\s]+)\])?$`)

// trampolineText is a name of generated code. The kernel does not tell it from a function's.
var trampolineText = lazyregexp.New(`^bpf_(trampoline_[0-9]+(_[0-9]+)?|prog_[0-9a-f]{16}(_.*)?)$`)

// siteSymbol reads what the kernel says of the address to which a request returns. It gives
// nothing where that is not in a function of the kernel or of a module, or the kernel cannot say.
func siteSymbol(text string) string {
	parts := siteText.FindStringSubmatch(text)
	if parts == nil || trampolineText.MatchString(parts[1]) {
		return ""
	}
	offset, offsetErr := strconv.ParseUint(parts[2], 16, 64)
	size, sizeErr := strconv.ParseUint(parts[3], 16, 64)
	// At the end of a function begins the next one. No call of a request returns there, but
	// whoever hooks the return of the function has it return to the start of their own.
	if offsetErr != nil || sizeErr != nil || offset >= size {
		return ""
	}
	if module := parts[4]; module == "bpf" || strings.HasPrefix(module, "__builtin__") {
		return "" // BPF programs and trampolines, probes and ftrace, as /proc/kallsyms marks them
	}
	return Symbol{Name: parts[1], Offset: offset, Module: parts[4]}.String()
}
