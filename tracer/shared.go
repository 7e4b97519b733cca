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

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// sharing lets probes share an event: one for all entries, one for all returns. See
// bpf/shared.h for how. What it cannot take is attached alone.
type sharing struct {
	functions map[string]uint32 // those whose address is known, and their numbers
	events    []*sharedEvent
}

// sharingSince is the first kernel known to give a probe's program the address of its
// function. It can from 5.15, but those between 5.18 and 6.0 give another one on
// processors with indirect branch tracking.
func sharingSince() version { return version{6, 1} }

// newSharing finds the functions, and loads what runs for all probes of an event.
func (at *attacher) newSharing(running version) (*sharing, error) {
	if since := sharingSince(); running.less(since) {
		return nil, fmt.Errorf("probes share an event from %d.%d on", since.major, since.minor)
	}
	finder, err := at.load(bpfProgFindSymbol)
	if err != nil {
		return nil, err
	}
	defer finder.Close()
	s := &sharing{functions: make(map[string]uint32)}
	for _, h := range at.hooks {
		if name := h.probe(); name != "" {
			if err := s.find(finder, at.spec.Programs[name].AttachTo); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// probe is the name of the hook's program that is attached by a kprobe or kretprobe.
func (h hook) probe() string {
	for _, name := range h.programs(Kprobe) {
		if strings.HasPrefix(name, "kprobe_") || strings.HasPrefix(name, "kretprobe_") {
			return name
		}
	}
	return ""
}

// find gives a function its number. One that this kernel does not have gets none.
func (s *sharing) find(finder *ebpf.Program, function string) error {
	if _, known := s.functions[function]; known {
		return nil
	}
	symbol := bpfSymbol{Function: uint32(len(s.functions))}
	if copy(symbol.Name[:len(symbol.Name)-1], function) < len(function) {
		return nil
	}
	got, err := finder.Run(&ebpf.RunOptions{Context: symbol})
	if err != nil {
		return fmt.Errorf("find the address of %s: %w", function, err)
	}
	switch errno := unix.Errno(-int32(got)); errno {
	case 0:
		s.functions[function] = symbol.Function
	case unix.ENOENT:
	default:
		return fmt.Errorf("find the address of %s: %w", function, errno)
	}
	return nil
}

// share makes the events, of the programs by which the hooks are to be attached, and
// switches them on. They have no program yet to go on as, so no hook is there before
// its turn. The returns come first: of the probes on one function the kernel runs the
// newest first, and an entry must see where its caller is before a kretprobe hides it.
func (at *attacher) share() {
	if at.sharing == nil {
		return
	}
	for _, e := range []*sharedEvent{
		{dispatcher: bpfProgSharedReturns, programs: at.maps[bpfMapReturns], define: "r" + strconv.Itoa(at.returns), prefix: "kretprobe_"},
		{dispatcher: bpfProgSharedEntries, programs: at.maps[bpfMapEntries], define: "p", prefix: "kprobe_"},
	} {
		if a, err := at.open(e); err == nil {
			at.attached[e.dispatcher] = a
			at.sharing.events = append(at.sharing.events, e)
		}
	}
}

// attach puts the program where the shared event finds it, and tells whether it could.
func (s *sharing) attach(name string, a *attachment) bool {
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
		a.shares, a.event, a.place = true, e.name, place
		return true
	}
	return false
}

// sharedEvent is an event of tracefs with probes on several functions.
type sharedEvent struct {
	dispatcher  string    // the program that runs for all
	programs    *ebpf.Map // what it goes on as, by the function's number
	define      string    // how tracefs is told what kind of probe
	prefix      string    // what the names of the members begin with
	group, name string    // in tracefs
	members     []string  // programs, in the order in which the kernel lists their probes
}

// open makes and attaches the event with all the members that it can have.
func (at *attacher) open(e *sharedEvent) (*attachment, error) {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	id := hex.EncodeToString(random)
	e.group = tracefsPrefix + strconv.Itoa(os.Getpid()) + "_" + id
	e.name = strings.TrimPrefix(e.dispatcher, "shared_") + "_" + id
	for _, h := range at.hooks {
		name := h.programs(at.backend)[0]
		function := at.spec.Programs[name].AttachTo
		if _, known := at.sharing.functions[function]; !known || !strings.HasPrefix(name, e.prefix) {
			continue
		}
		if writeProbe(fmt.Sprintf("%s:%s/%s %s", e.define, e.group, e.name, function)) == nil {
			e.members = append(e.members, name)
		}
	}
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
	return &attachment{target: "shared " + strings.TrimPrefix(e.dispatcher, "shared_"), program: p, link: l}, nil
}

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
	return &sharedLink{RawLink: raw, fd: fd, event: e}, nil
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
	return 0, err
}

// remove takes back all its probes.
func (e *sharedEvent) remove() error {
	return writeProbe("-:" + e.group + "/" + e.name)
}

// sharedLink is the link of an event that takes the event along.
type sharedLink struct {
	*link.RawLink
	fd    int
	event *sharedEvent
}

func (l *sharedLink) Close() error {
	return errors.Join(l.RawLink.Close(), unix.Close(l.fd), l.event.remove())
}

// Info has nothing on misses: the kernel knows only those of the event's first probe,
// and tracefs knows them all.
func (l *sharedLink) Info() (*link.Info, error) { return nil, ebpf.ErrNotSupported }
