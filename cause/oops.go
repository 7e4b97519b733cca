package cause

import (
	"regexp"
	"strings"
)

// place is where a thread died, as the kernel printed it.
type place struct {
	function string // that failed, with its module in brackets; empty where that is not told
	own      bool   // it is of the module in question, or among its callers is one
	ended    bool   // the trace is there to its end
}

var (
	// faultLine has the instruction that failed, on x86-64 and on arm64. 0010 is the kernel's code
	// segment: a later RIP line has the program's registers.
	faultLine = regexp.MustCompile(`^\s*(?:RIP: 0010:|pc : )([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(\w+)[^\]]*\])?`)
	// frameLine is a caller. One with "?" is a guess: an address that lay on the stack. Newer
	// kernels have a build ID behind the module's name.
	frameLine = regexp.MustCompile(`^\s*[A-Za-z_][\w.]*\+0x[0-9a-f]+/0x[0-9a-f]+ \[(\w+)[^\]]*\]`)
)

// placeOf reads the first oops among what a thread printed.
func placeOf(messages []string, module string) place {
	var p place
	for _, m := range messages {
		for line := range strings.Lines(m) {
			p.take(line, module)
		}
		if p.ended {
			break
		}
	}
	return p
}

func (p *place) take(line, module string) {
	if fault := faultLine.FindStringSubmatch(line); fault != nil && p.function == "" {
		p.function = fault[1]
		if fault[2] != "" {
			p.function += " [" + fault[2] + "]"
		}
		p.own = p.own || fault[2] == module
	}
	if frame := frameLine.FindStringSubmatch(line); frame != nil && frame[1] == module {
		p.own = true
	}
	p.ended = p.ended || strings.HasPrefix(strings.TrimSpace(line), "---[ end trace")
}
