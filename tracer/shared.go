package tracer

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

// sharing lets probes share an event: one for all entries, one for all returns
// (bpf/shared.h). What it cannot take is attached alone.
type sharing struct {
	functions map[string]uint32 // the numbers of those whose address is known
	events    []*sharedEvent
}

// sharingSince is the first kernel known to give a probe's program the address of its
// function. They do from 5.15, but those from 5.18 to 6.0 give another on processors
// with indirect branch tracking (from source).
func sharingSince() version { return version{6, 1} }

// newSharing asks whether this kernel can, and for the addresses of the functions.
func (at *attacher) newSharing(running version) (*sharing, error) {
	if since := sharingSince(); running.less(since) {
		return nil, fmt.Errorf("kernel %d.%d: probes share events from %d.%d on", running.major, running.minor, since.major, since.minor)
	}
	finder, err := at.load(bpfProgFindSymbol)
	if err != nil {
		return nil, err
	}
	defer finder.Close()
	s := &sharing{functions: make(map[string]uint32)}
	for _, h := range at.hooks {
		if h.hookType == tracepoint {
			continue
		}
		if err := s.find(finder, at.maps[bpfMapFunctions], at.spec.Programs[h.programs(Kprobe)[0]].AttachTo); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// find gives a function its number. One that this kernel does not have gets none.
func (s *sharing) find(finder *ebpf.Program, numbers *ebpf.Map, function string) error {
	if _, known := s.functions[function]; known {
		return nil
	}
	var symbol bpfSymbol
	if len(function) >= len(symbol.Name) {
		return nil
	}
	copy(symbol.Name[:], function)
	got, err := finder.Run(&ebpf.RunOptions{Context: symbol, ContextOut: &symbol})
	if err != nil {
		return fmt.Errorf("find the address of %s: %w", function, err)
	}
	switch errno := unix.Errno(-int32(got)); errno {
	case 0:
		number := uint32(len(s.functions))
		if err := numbers.Put(symbol.Address, number); err != nil {
			return fmt.Errorf("number %s: %w", function, err)
		}
		s.functions[function] = number
	case unix.ENOENT:
	default:
		return fmt.Errorf("find the address of %s: %w", function, errno)
	}
	return nil
}

// share makes the two events and switches them on. They have no programs yet to go on
// as, so that no hook is there before its turn. The returns come first: of the probes
// on one function the kernel runs the newest first, and the entry of a request must
// read its caller before a kretprobe hides that.
func (at *attacher) share() {
	if at.sharing == nil {
		return
	}
	for _, e := range []*sharedEvent{
		{dispatcher: bpfProgSharedReturns, programs: at.maps[bpfMapReturns], kind: "r" + strconv.Itoa(at.returns), prefix: "kretprobe_"},
		{dispatcher: bpfProgSharedEntries, programs: at.maps[bpfMapEntries], kind: "p", prefix: "kprobe_"},
	} {
		a, err := at.open(e)
		if err != nil {
			// No concern: each is attached alone then, in the order of hooks.
			return
		}
		at.attached[e.dispatcher] = a
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
		if e.programs.Put(s.functions[a.target], a.program) != nil {
			return false
		}
		a.shared, a.place, a.number = e, place, s.functions[a.target]
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
	group, name string    // in tracefs
	members     []string  // programs, in the order of their probes
}

// open makes the event of all the probes that it can have, and attaches it.
func (at *attacher) open(e *sharedEvent) (*attachment, error) {
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
func (at *attacher) define(e *sharedEvent) {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // has no errors
	id := hex.EncodeToString(random)
	e.group = sharedPrefix + strconv.Itoa(os.Getpid()) + "_" + procfs.PIDNamespace() + "_" + id
	e.name = e.dispatcher + "_" + id
	for _, h := range at.hooks {
		name := h.programs(at.backend)[0]
		if !strings.HasPrefix(name, e.prefix) {
			continue
		}
		function := at.spec.Programs[name].AttachTo
		if _, known := at.sharing.functions[function]; !known {
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
