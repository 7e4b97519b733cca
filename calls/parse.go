package calls

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Event is one hit of a probe.
type Event struct {
	Time   time.Duration // since boot
	Thread uint32
	Kind   byte
	Index  int // of Plan.functions or Plan.sites, by Kind
	// Address is where the probe is, Caller where its function returned to; zero where that is not known.
	Address, Caller uint64
	Value           uint64 // that was returned
}

// parser reads what the kernel prints to trace_pipe.
type parser struct {
	rest   []byte
	lost   int
	unread int
}

// commWidth is that of a thread's name at the start of a line: %16s of a name of at most 15 bytes, which may
// be any, a line feed too.
const commWidth = 16

var (
	lostLine  = regexp.MustCompile(`^CPU:\d+ \[LOST (\d+) EVENTS\]$`)
	eventLine = regexp.MustCompile(`^-(\d+) +\[\d+\] +\S+ +(\d+)\.(\d{6}): ([ercdj])(\d+): \((.*)\)(?: ret=0x([0-9a-f]{1,16}))?$`)
	rawPlace  = regexp.MustCompile(`(?:^0x|<)([0-9a-f]{1,16})>?$`)
)

// add gives the events of the lines that are complete.
func (p *parser) add(text []byte) []Event {
	const longest = 4096
	p.rest = append(p.rest, text...)
	var events []Event
	for {
		end := p.lineEnd()
		if end < 0 {
			if len(p.rest) > longest { // not a line of ours
				p.unread++
				p.rest = nil
			}
			return events
		}
		line := p.rest[:end]
		p.rest = p.rest[end+1:]
		if e, ok := p.line(line); ok {
			events = append(events, e)
		}
	}
}

func (p *parser) lineEnd() int {
	from := 0
	if len(p.rest) > 0 && p.rest[0] == ' ' { // a name; what the kernel says itself begins with a letter
		from = min(commWidth, len(p.rest))
	}
	if end := bytes.IndexByte(p.rest[from:], '\n'); end >= 0 {
		return from + end
	}
	return -1
}

func (p *parser) line(line []byte) (e Event, ok bool) {
	if m := lostLine.FindSubmatch(line); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		p.lost += n
		return e, false
	}
	if len(line) < commWidth || line[0] != ' ' {
		p.unread++
		return e, false
	}
	m := eventLine.FindSubmatch(line[commWidth:])
	if m == nil {
		p.unread++
		return e, false
	}
	thread, err := strconv.ParseUint(string(m[1]), 10, 32)
	seconds, err2 := strconv.ParseInt(string(m[2]), 10, 32)
	index, err3 := strconv.Atoi(string(m[5]))
	if err != nil || err2 != nil || err3 != nil {
		p.unread++
		return e, false
	}
	micros, _ := strconv.Atoi(string(m[3]))
	e = Event{Time: time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond,
		Thread: uint32(thread), Kind: m[4][0], Index: index}
	at := string(m[6])
	if e.Kind == returned {
		caller, own, _ := strings.Cut(at, " <- ")
		e.Caller, at = address(caller), own
	}
	e.Address = address(at)
	e.Value, _ = strconv.ParseUint(string(m[7]), 16, 64)
	if hasValue := len(m[7]) > 0; hasValue != (e.Kind == returned || e.Kind == answered) {
		p.unread++
		return e, false
	}
	return e, true
}

// address reads a place as the kernel prints it with the option sym-addr.
func address(text string) uint64 {
	m := rawPlace.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	a, _ := strconv.ParseUint(m[1], 16, 64)
	return a
}

// missedIn adds up the returns that kprobe_profile says were missed, of events with a name of ours.
func missedIn(profile string) (missed int) {
	for line := range strings.Lines(profile) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !ownEvent.MatchString(fields[0]) {
			continue
		}
		n, _ := strconv.Atoi(fields[2])
		missed += n
	}
	return missed
}

var ownEvent = regexp.MustCompile(`^[ercdj]\d+$`)
