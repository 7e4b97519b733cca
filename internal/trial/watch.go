package trial

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Leftovers are what the modules did not give back. Each round's are all until then.
type Leftovers struct {
	// Entries are paths in /proc, /sys and /dev, lines of the kernel's lists, and its
	// threads.
	Entries []string     `json:"entries,omitempty"`
	Memory  []Allocation `json:"memory,omitempty"`
	// LeftOut is how many more there are of both: a module can leave any number.
	LeftOut int    `json:"left_out,omitempty"`
	Taints  uint64 `json:"taints"` // all that are set now
}

// maxLeft is how many of each are listed.
const maxLeft = 1000

// bound leaves out what is too much to tell.
func (l *Leftovers) bound() {
	if n := len(l.Entries) - maxLeft; n > 0 {
		l.Entries, l.LeftOut = l.Entries[:maxLeft], l.LeftOut+n
	}
	if n := len(l.Memory) - maxLeft; n > 0 {
		l.Memory, l.LeftOut = l.Memory[:maxLeft], l.LeftOut+n
	}
}

// Watch notes what the kernel exposes, and what is left of modules.
type Watch struct {
	before snapshot
	areas  areas
}

// NewWatch begins to watch: what is there now is nobody's fault.
func NewWatch() *Watch { return &Watch{before: takeSnapshot()} }

// Ready describes the guest.
func Ready() *ReadyGuest {
	return &ReadyGuest{Release: procfs.Uname().Release, Taints: taints(), Tracks: tracksAllocations()}
}

func taints() uint64 {
	mask, _ := procfs.Tainted("/")
	return mask
}

// Loaded notes where a module that is live has its sections.
func (w *Watch) Loaded(module, file string) {
	sizes := sectionSizes(file)
	paths, _ := filepath.Glob(filepath.Join("/sys/module", module, "sections", "*"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		section := filepath.Base(path)
		address, ok := rawAddress(strings.TrimSpace(string(text)))
		if err == nil && ok && sizes[section] > 0 {
			w.areas = append(w.areas, Area{Module: module, Section: section, Address: address, Size: sizes[section]})
		}
	}
}

// Refused notes where a module was that did not become live, as far as is known.
func (w *Watch) Refused(module string, m *tracer.Module) {
	if m != nil && m.Address != 0 {
		w.areas = append(w.areas, Area{Module: module, Address: uint64(m.Address), Size: uint64(m.Size)})
	}
}

func sectionSizes(file string) map[string]uint64 {
	sizes := make(map[string]uint64)
	f, err := kmod.Inspect(file)
	if err != nil {
		return sizes
	}
	for _, s := range f.Sections {
		sizes[s.Name] = s.Size
	}
	return sizes
}

// settle is how long what is freed later, after a grace period, may take.
const settle = 3 * time.Second

// Left looks what is left. If it is to be patient it looks again while there is something,
// for a while.
func (w *Watch) Left(patient bool) *Leftovers {
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		left := &Leftovers{Entries: takeSnapshot().since(w.before), Memory: allocations(w.areas), Taints: taints()}
		if len(left.Entries) == 0 && len(left.Memory) == 0 || !patient || time.Since(begun) > settle {
			left.bound()
			return left
		}
	}
}
