package tracer

import (
	"fmt"
	"slices"
	"time"
)

// maxClosedRanges bounds how many ranges are remembered of modules that are gone: an event
// that comes late can still be of one.
const maxClosedRanges = 256

// moduleRanges are the address ranges of modules and when they were valid. Only requests of
// kernels before 5.13 are looked up in them, where the memory of a module is one piece, and
// another that goes after the init. A range is certain from the event that showed the module
// to the event that it is freed: nothing else can lie there between.
type moduleRanges struct {
	all  []moduleRange
	lost map[uint32]uint64 // events lost so far, by CPU
}

// moduleRange is one range of a module's memory.
type moduleRange struct {
	module      string
	start, end  uint64
	init        bool // it goes when the init has returned
	thread      uint32
	threadStart time.Duration
	from        time.Duration
	until       time.Duration // zero: still there
}

func (x *moduleRange) open() bool { return x.until == 0 }

func (x *moduleRange) contains(address uint64) bool { return address >= x.start && address < x.end }

func (x *moduleRange) overlaps(start, end uint64) bool { return x.start < end && start < x.end }

// see takes what an event shows of modules' memory.
func (t *moduleRanges) see(e *Event) {
	if e.Lost > t.lost[e.CPU] {
		if t.lost == nil {
			t.lost = make(map[uint32]uint64)
		}
		t.lost[e.CPU] = e.Lost
		t.doubt()
	}
	switch e.Kind {
	case KindModuleLoad, KindInit:
		t.loaded(e)
	case KindInitReturn:
		t.close(e.Time, func(x *moduleRange) bool {
			return x.init && x.thread == e.Thread.TID && x.threadStart == e.Thread.Start
		})
	case KindFree, KindModuleFree:
		m := e.Module
		start := uint64(m.Address)
		t.close(e.Time, func(x *moduleRange) bool {
			return x.module == m.Name || x.overlaps(start, start+max(uint64(m.Size), 1))
		})
	}
}

// loaded notes a module that the kernel has formed and whose init is about to run.
func (t *moduleRanges) loaded(e *Event) {
	m := e.Module
	t.add(moduleRange{
		module: m.Name, start: uint64(m.Address), end: uint64(m.Address) + uint64(m.Size), from: e.Time,
	})
	t.add(moduleRange{
		module: m.Name, start: uint64(m.InitAddress), end: uint64(m.InitAddress) + uint64(m.InitSize), from: e.Time,
		init: true, thread: e.Thread.TID, threadStart: e.Thread.Start,
	})
}

// add notes a range. What was known to lie there is gone, and nobody saw when.
func (t *moduleRanges) add(x moduleRange) {
	if x.start == 0 || x.end <= x.start {
		return
	}
	for i := range t.all {
		old := &t.all[i]
		if old.open() && old.module == x.module && old.start == x.start && old.end == x.end && old.init == x.init && old.thread == x.thread {
			return // two hooks show each load
		}
	}
	t.all = slices.DeleteFunc(t.all, func(old moduleRange) bool { return old.open() && old.overlaps(x.start, x.end) })
	t.all = append(t.all, x)
}

// close ends ranges at that time.
func (t *moduleRanges) close(at time.Duration, which func(*moduleRange) bool) {
	closed := 0
	for i := range t.all {
		x := &t.all[i]
		if x.open() && which(x) {
			x.until = at
		}
		if !x.open() {
			closed++
		}
	}
	t.all = slices.DeleteFunc(t.all, func(x moduleRange) bool {
		drop := !x.open() && closed > maxClosedRanges
		if drop {
			closed--
		}
		return drop
	})
}

// doubt forgets what is not certain when events are missing: any module may be gone, and
// another lie there.
func (t *moduleRanges) doubt() {
	t.all = slices.DeleteFunc(t.all, func(x moduleRange) bool { return x.open() })
}

// present notes modules that were there at some moment before at, and shows nothing of
// before. Events up to that moment that are still to come correct it.
func (t *moduleRanges) present(modules map[string]extent, at time.Duration) {
	for name, e := range modules {
		if !e.live {
			continue // what it needs for its init only is counted too, and lies elsewhere
		}
		t.all = append(t.all, moduleRange{module: name, start: e.start, end: e.start + e.size, from: at})
	}
}

// find names the place at that time: "[nested]+0x1e", or "[nested].init+0x1e" in what goes
// after its init. It is empty where that is not certain.
func (t *moduleRanges) find(address Address, at time.Duration) string {
	var found *moduleRange
	for i := range t.all {
		x := &t.all[i]
		if !x.contains(uint64(address)) || at < x.from || !x.open() && at > x.until {
			continue
		}
		if found != nil {
			return ""
		}
		found = x
	}
	if found == nil {
		return ""
	}
	where := "[" + found.module + "]"
	if found.init {
		where += ".init"
	}
	return fmt.Sprintf("%s+%#x", where, uint64(address)-found.start)
}
