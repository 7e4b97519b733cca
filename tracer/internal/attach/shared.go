package attach

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// Sharing names what lets probes share an event (bpf/shared.h).
type Sharing struct {
	// Finder is a program that finds addresses, Find how it is asked for that of a
	// function. The error is [unix.ENOENT] where there is no such function.
	Finder string
	Find   func(finder *ebpf.Program, function string) (address uint64, err error)
	// Numbers is the map from a function's address to its number.
	Numbers string
	// Entries and Returns each have the program that runs for all probes, and the map of
	// what it goes on as, by the function's number.
	Entries, Returns Dispatch
}

// sharing lets probes share an event: one for all entries, one for all returns. What it
// cannot take is attached alone.
type sharing struct {
	numbers map[string]uint32 // of the functions whose address is known
	events  []*sharedEvent
}

// Share lets probes share events from now on, where it can ask for the addresses of their
// functions. After an error each is attached alone.
func (at *Attacher) Share() error {
	finder, err := at.load(at.config.Sharing.Finder)
	if err != nil {
		return err
	}
	defer finder.Close()
	s := &sharing{numbers: make(map[string]uint32)}
	for _, h := range at.config.Hooks {
		if h.Type == Tracepoint {
			continue
		}
		if err := at.number(s, finder, at.config.Spec.Programs[h.Programs(false)[0]].AttachTo); err != nil {
			return err
		}
	}
	at.sharing = s
	return nil
}

// Shares tells whether probes share events.
func (at *Attacher) Shares() bool { return at.sharing != nil }

// number gives a function its number. One that this kernel does not have gets none.
func (at *Attacher) number(s *sharing, finder *ebpf.Program, function string) error {
	if _, known := s.numbers[function]; known {
		return nil
	}
	address, err := at.config.Sharing.Find(finder, function)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the address of %s: %w", function, err)
	}
	number := uint32(len(s.numbers))
	if err := at.hooks.maps[at.config.Sharing.Numbers].Put(address, number); err != nil {
		return fmt.Errorf("number %s: %w", function, err)
	}
	s.numbers[function] = number
	return nil
}

// share makes the two events and switches them on. They have no programs yet to go on
// as, so that no hook is there before its turn. The returns come first: of the probes
// on one function the kernel runs the newest first, and the entry of a request must
// read its caller before a kretprobe hides that.
func (at *Attacher) share() {
	if at.sharing == nil {
		return
	}
	entries, returns := at.config.Sharing.Entries, at.config.Sharing.Returns
	for _, e := range []*sharedEvent{
		{dispatcher: returns.Program, programs: at.hooks.maps[returns.Map], kind: "r" + strconv.Itoa(at.config.Returns), prefix: "kretprobe_", returns: true},
		{dispatcher: entries.Program, programs: at.hooks.maps[entries.Map], kind: "p", prefix: "kprobe_"},
	} {
		a, err := at.open(e)
		if err != nil {
			// No concern: each is attached alone then, in the order of hooks.
			return
		}
		at.hooks.attached[e.dispatcher] = a
		at.sharing.events = append(at.sharing.events, e)
	}
}

// join lets the event that has the program's probe go on as that program from now on,
// and tells whether there is one.
func (s *sharing) join(name string, a *attachment) bool {
	if s == nil {
		return false
	}
	for _, e := range s.events {
		place := slices.Index(e.members, name)
		if place < 0 {
			continue
		}
		if e.programs.Put(s.numbers[a.target], a.program) != nil {
			return false
		}
		a.shared, a.place, a.number = e, place, s.numbers[a.target]
		return true
	}
	return false
}

// sharedEvent is an event of tracefs that has probes on several functions.
type sharedEvent struct {
	dispatcher  string    // the program that runs for all
	programs    *ebpf.Map // what it goes on as, by the function's number
	kind        string    // of its probes, in the words of tracefs
	prefix      string    // of the names of programs for such probes
	returns     bool      // it is that of the returns
	group, name string    // in tracefs
	members     []string  // programs, in the order of their probes
}

// open makes the event of all the probes that it can have, and attaches it.
func (at *Attacher) open(e *sharedEvent) (*attachment, error) {
	at.define(e)
	if len(e.members) == 0 {
		return nil, errors.New("no function to probe")
	}
	p, err := at.load(e.dispatcher)
	if err != nil {
		return nil, errors.Join(err, e.remove())
	}
	l, err := e.attach(p)
	if err != nil {
		return nil, errors.Join(err, p.Close(), e.remove())
	}
	if n := e.gone(kprobeProfile()); n > 0 {
		return nil, errors.Join(fmt.Errorf("event %s: another process removed %d of its probes", e.name, n), l.Close(), p.Close())
	}
	return &attachment{target: strings.ReplaceAll(e.dispatcher, "_", " "), program: p, link: l}, nil
}

// define makes the event's probes. Its name is like no other: tracefs counts misses
// by it.
func (at *Attacher) define(e *sharedEvent) {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // has no errors
	id := hex.EncodeToString(random)
	e.group = sharedPrefix + strconv.Itoa(os.Getpid()) + "_" + procfs.PIDNamespace() + "_" + id
	e.name = e.dispatcher + "_" + id
	for _, h := range at.config.Hooks {
		name := h.Programs(at.trampolines)[0]
		if !strings.HasPrefix(name, e.prefix) {
			continue
		}
		function := at.config.Spec.Programs[name].AttachTo
		if _, known := at.sharing.numbers[function]; !known {
			continue
		}
		if writeProbe(e.kind+":"+e.group+"/"+e.name+" "+function) == nil {
			e.members = append(e.members, name)
		}
	}
}

// attach switches all the probes on. The kernel runs the program on every CPU,
// whichever the perf event is for.
func (e *sharedEvent) attach(p *ebpf.Program) (*sharedLink, error) {
	id, err := e.id()
	if err != nil {
		return nil, err
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample_type: unix.PERF_SAMPLE_RAW, Sample: 1, Wakeup: 1}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open event %s: %w", e.name, err)
	}
	raw, err := link.AttachRawLink(link.RawLinkOptions{Target: fd, Program: p, Attach: ebpf.AttachPerfEvent})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach to event %s: %w", e.name, err), unix.Close(fd))
	}
	return &sharedLink{RawLink: raw, perf: fd, event: e}, nil
}

// id is the number that perf knows the event by.
func (e *sharedEvent) id() (uint64, error) {
	var err error
	for _, root := range tracefsRoots() {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(root, "events", e.group, e.name, "id")); err == nil {
			return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		}
	}
	return 0, fmt.Errorf("number of event %s: %w", e.name, err)
}

// gone counts the probes that somebody else has removed: the kernel lets them, down to
// the last one.
func (e *sharedEvent) gone(profile map[string][]uint64) uint64 {
	if profile == nil {
		return 0 // not known
	}
	return uint64(max(0, len(e.members)-len(profile[e.name])))
}

// remove takes back all its probes. A child between fork and exec may still hold them.
func (e *sharedEvent) remove() error {
	for deadline := time.Now().Add(busyWithin); ; time.Sleep(busyPause) {
		err := writeProbe("-:" + e.group + "/" + e.name)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove event %s: %w", e.name, err)
		}
	}
}

// sharedLink is the link of a shared event, and takes the event along.
type sharedLink struct {
	*link.RawLink
	perf  int
	event *sharedEvent
}

func (l *sharedLink) Close() error {
	return errors.Join(l.RawLink.Close(), unix.Close(l.perf), l.event.remove())
}

// Info is not given: of misses it would have those of the event's first probe only,
// and tracefs has them all.
func (l *sharedLink) Info() (*link.Info, error) { return nil, ebpf.ErrNotSupported }
