package attach

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Hooks are programs in the kernel, with the maps that they share. Its methods may be called
// until Close is.
type Hooks struct {
	attached map[string]*attachment // by the program's name
	maps     map[string]*ebpf.Map
	own      *ebpf.Program // nil where it could not be loaded, and ownErr says why
	ownErr   error
}

// attachment is one hook in the kernel.
type attachment struct {
	target   string
	backedUp bool
	program  *ebpf.Program
	link     link.Link
	// event is the name in kprobe_profile, for kretprobes. All that probe the
	// same function have the same there: another reader's misses count too.
	event string
	// shared is the event that it has part in, whose link is another attachment's;
	// nil for what is alone. place is where among the event's probes.
	shared *sharedEvent
	place  int
	number uint32 // its function's, among the event's programs
}

func (a *attachment) Close() error {
	if a.shared != nil {
		return a.program.Close()
	}
	return errors.Join(a.link.Close(), a.program.Close())
}

// Map gives a map by its name, nil for none.
func (h *Hooks) Map(name string) *ebpf.Map { return h.maps[name] }

// Own gives the program that the reader runs itself, or says why it could not be loaded.
func (h *Hooks) Own() (*ebpf.Program, error) { return h.own, h.ownErr }

// Stats reads what the programs took so far, by their names. The kernel counts for the
// program that it calls: those of probes that share an event are counted as one.
func (h *Hooks) Stats() (map[string]*ebpf.ProgramStats, error) {
	all := make(map[string]*ebpf.ProgramStats, len(h.attached))
	for name, a := range h.attached {
		if a.shared != nil {
			continue
		}
		stats, err := a.program.Stats()
		if err != nil {
			return nil, fmt.Errorf("read statistics of %s: %w", name, err)
		}
		all[name] = stats
	}
	return all, nil
}

// Sharer is a program whose probe shares an event.
type Sharer struct {
	Program string
	Number  uint32 // of its function
	Returns bool   // it shares that of all returns, and not that of all entries
}

// Sharers gives the programs whose probes share events, in no order.
func (h *Hooks) Sharers() []Sharer {
	var all []Sharer
	for name, a := range h.attached {
		if a.shared != nil {
			all = append(all, Sharer{Program: name, Number: a.number, Returns: a.shared.returns})
		}
	}
	return all
}

// Miss is how often the kernel did not run one program. A program that runs for all the
// probes of a shared event has one too.
type Miss struct {
	Program, Target string
	// BackedUp says that other hooks report the same: Count is not read then.
	BackedUp bool
	Count    uint64
	// Removed counts the probes of a shared event that somebody has removed.
	Removed uint64
}

// Misses reads what this kernel counts of each program, in no order.
func (h *Hooks) Misses() []Miss {
	profile := kprobeProfile()
	all := make([]Miss, 0, len(h.attached))
	for name, a := range h.attached {
		m := Miss{Program: name, Target: a.target, BackedUp: a.backedUp}
		if !a.backedUp {
			m.Count = a.missed(profile)
		}
		if shared, ok := a.link.(*sharedLink); ok {
			m.Removed = shared.event.gone(profile)
		}
		all = append(all, m)
	}
	return all
}

// missed adds up what this kernel reports. Before 6.7 a link does not know its
// kretprobe's misses, and tracefs does; of probes that share an event only tracefs
// tells which.
func (a *attachment) missed(profile map[string][]uint64) uint64 {
	var n uint64
	if stats, err := a.program.Stats(); err == nil {
		n += stats.RecursionMisses
	}
	if a.shared != nil {
		if each := profile[a.shared.name]; len(each) == len(a.shared.members) {
			n += each[a.place]
		}
		return n
	}
	if info, err := a.link.Info(); err == nil {
		if perf := info.PerfEvent(); perf != nil {
			if k := perf.Kprobe(); k != nil && k.Missed > 0 {
				return n + k.Missed
			}
		}
	}
	for _, missed := range profile[a.event] {
		n += missed
	}
	return n
}

// Removal is a shared event of which somebody has removed probes.
type Removal struct {
	Target string // of all its probes, in words
	Event  string // in tracefs
	Probes int    // that it had
	Left   int
}

// Removals gives the shared events that have fewer probes than they had.
func (h *Hooks) Removals() []Removal {
	var all []Removal
	text, ok := kprobeEvents()
	if !ok {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(h.attached)) {
		a := h.attached[name]
		l, ok := a.link.(*sharedLink)
		if !ok {
			continue
		}
		if of, left := len(l.event.members), l.event.left(text); left < of {
			all = append(all, Removal{Target: a.target, Event: l.event.name, Probes: of, Left: left})
		}
	}
	return all
}

// left counts the event's probes in tracefs' list of all.
func (e *sharedEvent) left(events []byte) int {
	return bytes.Count(events, []byte(":"+e.group+"/"+e.name+" "))
}

// kprobeEvents reads tracefs' list of probes, where it can be read.
func kprobeEvents() ([]byte, bool) {
	for _, root := range tracefsRoots() {
		if text, err := os.ReadFile(filepath.Join(root, "kprobe_events")); err == nil {
			return text, true
		}
	}
	return nil, false
}

// Close detaches all at once: each link waits for the kernel to forget it,
// and from 7.x or so the waits overlap. Before, they are one after another,
// whatever the order: the kernel makes them with its list of probes locked.
func (h *Hooks) Close() error {
	errs := make(chan error, len(h.attached)+len(h.maps)+1)
	var wg sync.WaitGroup
	for _, a := range h.attached {
		wg.Go(func() { errs <- a.Close() })
	}
	wg.Wait()
	for _, m := range h.maps {
		errs <- m.Close()
	}
	errs <- h.own.Close() // nil has none
	close(errs)
	var busy, all []error
	for err := range errs {
		if errors.Is(err, unix.EBUSY) {
			busy = append(busy, err)
			continue
		}
		all = append(all, err)
	}
	if !removeBusyProbes(len(busy)) {
		all = append(all, busy...)
	}
	return errors.Join(all...)
}
