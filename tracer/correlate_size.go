package tracer

import "unsafe"

// Bounds, in bytes, of what is kept of actions that are under way: anybody can have many,
// and an event can have long texts.
const (
	maxPendingBytes = 32 << 20
	maxMessageBytes = 64 << 10 // of the messages of one action
)

// grow notes what an event adds to its action, which is among those under way.
func (c *Correlator) grow(a *Action, e *Event) {
	n := e.bytes()
	a.size += n
	c.bytes += n
}

// keep puts an action under way.
func (c *Correlator) keep(m map[uint32]*Action, a *Action) {
	if a.size == 0 {
		a.size = int(unsafe.Sizeof(*a))
	}
	m[a.Thread.TID] = a
	c.bytes += a.size
}

// drop takes an action out of those under way.
func (c *Correlator) drop(m map[uint32]*Action, a *Action) {
	delete(m, a.Thread.TID)
	c.bytes -= a.size
}

// full tells whether there is no room for one more action under way.
func (c *Correlator) full() bool {
	n := len(c.attempts) + len(c.requests)
	return n >= c.max || n > 0 && c.bytes > maxPendingBytes
}

// bytes is about how much of an event its action keeps.
func (e *Event) bytes() int {
	switch e.Kind {
	case KindEnter:
		return size(e.Enter) + len(e.Enter.Text)
	case KindFile:
		return size(e.File) + len(e.File.Path)
	case KindImage:
		return size(e.Image)
	case KindDenied:
		return size(e.Denial)
	case KindLookup:
		return size(e.Lookup) + len(e.Lookup.Name) + texts(e.Lookup.Holders)
	case KindStage:
		return size(&StageTime{})
	case KindParams:
		return size(e.Params) + len(e.Params.Module) + len(e.Params.Text)
	case KindModuleLoad, KindInit, KindFree, KindModuleFree:
		return size(e.Module) + len(e.Module.Name) + len(e.Module.Version) + len(e.Module.SrcVersion)
	case KindRequest, KindRequestFormat:
		return size(e.Request) + 2*len(e.Request.Name)
	case KindHelper:
		return len(e.Helper.Path)
	case KindCallback:
		return size(e.Callback) + len(e.Callback.Function) + len(e.Callback.Module)
	case KindMessage:
		return texts([]string{e.Message.Text})
	case KindDirectory:
		return size(e.Directory) + len(e.Directory.Path)
	case KindActor:
		return size(e.Actor) + texts(e.Actor.Args)
	case KindAncestor:
		return size(&e.Ancestor.Process) + len(e.Ancestor.Process.Comm)
	default:
		return 0
	}
}

// size is that of what p points to; p may be nil.
func size[T any](p *T) int { return int(unsafe.Sizeof(*p)) }

func texts(all []string) int {
	n := len(all) * int(unsafe.Sizeof(""))
	for _, text := range all {
		n += len(text)
	}
	return n
}
