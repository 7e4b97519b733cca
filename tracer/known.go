package tracer

import (
	"container/list"
	"unsafe"
)

// Bounds of what is kept of processes. The kernel side tells of a process once, and
// forgets whom it told of after MOST_TOLD others (bpf/actor.h): this side must forget
// later, and so keeps four times as many, the least used of which goes first. Where paths
// of the greatest length take all the memory before, it forgets sooner, and says so to the
// kernel side, which then tells anew.
const (
	maxKnown             = 4 * 1024
	maxKnownBytes        = 12 << 20
	maxKnownLimited      = 4 * 512
	maxKnownLimitedBytes = 4 << 20
)

// known is what was told of processes. What was told for threads that may not load is
// apart, so that new processes of anybody push none of the others out.
type known struct {
	all, limited processTable
	mount        uint32 // the machine's first mount namespace; zero until it is seen
	// forgot is called for each process that is given up for want of memory, which the
	// kernel side may know still; nil for nobody.
	forgot func(*Process)
}

// processTable keeps processes by their last use.
type processTable struct {
	byID  map[identity]*list.Element // of *Process
	order list.List                  // the last used first
	bytes int
}

func (k *known) add(p *Process, limited bool) {
	if limited {
		k.limited.add(p, maxKnownLimited, maxKnownLimitedBytes, k.forgot)
		return
	}
	k.all.add(p, maxKnown, maxKnownBytes, k.forgot)
}

func (t *processTable) add(p *Process, most, mostBytes int, forgot func(*Process)) {
	if t.byID == nil {
		t.byID = make(map[identity]*list.Element)
	}
	id := p.identity()
	if old := t.byID[id]; old != nil {
		t.remove(old)
	}
	t.byID[id] = t.order.PushFront(p)
	t.bytes += p.bytes()
	for len(t.byID) > most || t.bytes > mostBytes {
		last := t.order.Back()
		early := len(t.byID) <= most
		t.remove(last)
		if early && forgot != nil {
			forgot(last.Value.(*Process))
		}
	}
}

func (t *processTable) remove(e *list.Element) {
	p := t.order.Remove(e).(*Process)
	delete(t.byID, p.identity())
	t.bytes -= p.bytes()
}

// use gives what is known of a process, and notes that it is used.
func (t *processTable) use(id identity) *Process {
	e := t.byID[id]
	if e == nil {
		return nil
	}
	t.order.MoveToFront(e)
	return e.Value.(*Process)
}

// entryBytes is about what an entry takes beside its process: an element, and its place in
// the map, which is at most half empty.
const entryBytes = 3*unsafe.Sizeof(identity{}) + unsafe.Sizeof(list.Element{})

// bytes is about how much memory it takes.
func (p *Process) bytes() int {
	n := int(unsafe.Sizeof(*p)+entryBytes) + len(p.Comm) + len(p.Terminal) + len(p.Cgroup.Path) + 8
	if p.Exe != nil {
		n += int(unsafe.Sizeof(*p.Exe)) + len(p.Exe.Path)
	}
	if p.Cgroup.Container != nil {
		n += int(unsafe.Sizeof(*p.Cgroup.Container))
	}
	return n
}

// touch notes that the kernel side has just looked a process up.
func (k *known) touch(p *Process) {
	id := p.identity()
	if k.all.use(id) == nil {
		k.limited.use(id)
	}
}

// firstUserNamespace is its number on all kernels (PROC_USER_INIT_INO).
const firstUserNamespace = 0xeffffffd

// find gives all that is known of a process.
func (k *known) find(p Process) Process {
	id := p.identity()
	told := k.all.use(id)
	if told == nil {
		told = k.limited.use(id)
	}
	found := p
	if told == nil {
		found.Incomplete = true
		found.Namespaces.User.Initial = p.Namespaces.User.ID == firstUserNamespace
	} else {
		found = *told
		found.Comm = p.Comm
	}
	found.Namespaces.Mount.Initial = k.mount != 0 && k.mount == found.Namespaces.Mount.ID
	return found
}
