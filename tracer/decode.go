package tracer

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// decode turns one record of the ring into an Event. It is a pure function of
// the bytes, which are in the byte order and layout of this machine. What lies behind
// them, up to the slice's capacity, is not kept.
func decode(raw []byte) (Event, error) {
	h, err := wire.View[bpfHeader](raw)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Kind:    Kind(h.Kind),
		Time:    time.Duration(h.Time),
		Attempt: ID(h.Attempt),
		CPU:     h.Cpu,
		Lost:    h.Lost,
		Thread: Thread{
			TID:      h.Tid,
			PID:      h.Tgid,
			Start:    time.Duration(h.Start),
			UID:      h.Uid,
			GID:      h.Gid,
			Comm:     wire.Text(h.Comm[:]),
			CgroupID: h.Cgroup,
		},
	}
	e.Unprivileged = e.Kind == KindProcess && has(h, bpfFlagFLAG_LIMITED)
	if err := decodePayload(&e, raw); err != nil {
		return Event{}, fmt.Errorf("%s event: %w", e.Kind, err)
	}
	return e, nil
}

func decodePayload(e *Event, raw []byte) (err error) {
	switch e.Kind {
	case KindEnter:
		e.Enter, err = textPayload(raw, unsafe.Offsetof(bpfEnterEvent{}.Text), decodeEnter)
	case KindLeave, KindInitcall, KindInitReturn, KindRequestReturn, KindDied:
		e.Return, err = payload(raw, decodeReturn)
	case KindFile:
		e.File, err = payload(raw, decodeFile)
	case KindImage:
		e.Image, err = payload(raw, decodeImage)
	case KindDenied:
		e.Denial, err = payload(raw, decodeDenial)
	case KindLookup:
		e.Lookup, err = payload(raw, decodeLookup)
	case KindStage:
		e.Step, err = payload(raw, decodeStep)
	case KindParams:
		e.Params, err = textPayload(raw, unsafe.Offsetof(bpfParamsEvent{}.Text), decodeParams)
	case KindModuleLoad, KindInit, KindFree, KindModuleFree:
		e.Module, err = grownPayload(raw, unsafe.Offsetof(bpfModuleEvent{}.InitAddress), decodeModule)
	case KindRequest:
		e.Request, err = grownPayload(raw, unsafe.Offsetof(bpfRequestEvent{}.Symbol), decodeRequest)
	case KindRequestFormat:
		e.Request, err = grownPayload(raw, unsafe.Offsetof(bpfFormatEvent{}.Symbol), decodeFormat)
	case KindMessage:
		e.Message, err = textPayload(raw, unsafe.Offsetof(bpfTextEvent{}.Text), decodeMessage)
	case KindCallback:
		e.Callback, err = payload(raw, decodeCallback)
	case KindHelper:
		e.Helper, err = payload(raw, func(w *bpfHelperEvent) Helper { return Helper{Path: wire.Text(w.Path[:])} })
	case KindDirectory:
		e.Directory, err = payload(raw, decodeDirectory)
	case KindActor:
		e.Actor, err = textPayload(raw, unsafe.Offsetof(bpfActorEvent{}.Args), decodeActor)
	case KindAncestor:
		e.Ancestor, err = payload(raw, decodeAncestor)
	case KindProcess:
		e.Process, err = payload(raw, decodeProcess)
	case Kind(kindFence): // has no payload
	default:
		return fmt.Errorf("unknown kind %d", uint16(e.Kind))
	}
	return err
}

func payload[W, T any](raw []byte, convert func(*W) T) (*T, error) {
	w, err := wire.View[W](raw)
	if err != nil {
		return nil, err
	}
	t := convert(w)
	return &t, nil
}

// textPayload is payload for what ends with a text, from that offset on: the kernel side
// leaves out the end of one that is short. Room behind raw, which the reader's buffer has
// after the first long record, is used for it.
func textPayload[W, T any](raw []byte, text uintptr, convert func(*W) T) (*T, error) {
	var w W
	size := unsafe.Sizeof(w)
	if n := uintptr(len(raw)); n == text+shortText {
		raw = append(raw, make([]byte, size-n)...)
	}
	return payload(raw, convert)
}

// grownPayload is payload for what recordings of earlier releases end before: of that size
// they are taken as if the rest were zero.
func grownPayload[W, T any](raw []byte, earlier uintptr, convert func(*W) T) (*T, error) {
	if uintptr(len(raw)) == earlier {
		var w W
		whole := make([]byte, unsafe.Sizeof(w))
		copy(whole, raw)
		raw = whole
	}
	return payload(raw, convert)
}

// shortText is SHORT_TEXT of the wire format.
const shortText = 64

func has(h *bpfHeader, flag bpfFlag) bool { return uint32(h.Flags)&uint32(flag) != 0 }

func decodeEnter(w *bpfEnterEvent) Enter {
	return Enter{
		Call:           Call(w.Call),
		Compat:         has(&w.H, bpfFlagFLAG_COMPAT),
		Capable:        has(&w.H, bpfFlagFLAG_CAPABLE),
		Flags:          w.Flags,
		FD:             w.Fd,
		Size:           w.Size,
		Text:           wire.Text(w.Text[:]),
		TextCut:        has(&w.H, bpfFlagFLAG_CUT),
		TextUnreadable: has(&w.H, bpfFlagFLAG_UNREADABLE),
	}
}

func decodeReturn(w *bpfReturnEvent) Return {
	return Return{Value: w.Ret, Call: Call(w.Call), Lost: w.Lost, Symbols: w.Symbols}
}

func decodeStep(w *bpfStageEvent) Step {
	return Step{Stage: Stage(w.Stage), Symbols: w.Symbols}
}

func decodeParams(w *bpfParamsEvent) Params {
	return Params{Module: wire.Text(w.Name[:]), Text: wire.Text(w.Text[:]), Cut: has(&w.H, bpfFlagFLAG_CUT)}
}

func decodeFile(w *bpfFileEvent) File { return fileOf(&w.H, &w.File) }

func fileOf(h *bpfHeader, w *bpfFileFacts) File {
	f := File{
		// dev_t inside the kernel (MKDEV): 12 bits of major, 20 of minor.
		Device:       Device{Major: w.Dev >> 20, Minor: w.Dev & (1<<20 - 1)},
		Inode:        w.Ino,
		Size:         w.Size,
		FSMagic:      w.Magic,
		Mode:         w.Mode,
		UID:          w.Uid,
		GID:          w.Gid,
		ChangeTimeNS: w.Changed,
		PathCut:      has(h, bpfFlagFLAG_CUT),
		Claimed:      has(h, bpfFlagFLAG_CLAIMED),
	}
	f.Path = joinPath(w.Path[:min(int(w.Length), len(w.Path))], f.PathCut)
	// A memfd has no name in any directory: its dentry "memfd:…" is the root of
	// itself on the kernel's own tmpfs mount.
	unlinked := has(h, bpfFlagFLAG_UNLINKED)
	f.Memfd = unlinked && has(h, bpfFlagFLAG_INTERNAL) && strings.HasPrefix(f.Path, "/memfd:")
	f.Deleted = unlinked && !f.Memfd
	return f
}

func decodeDenial(w *bpfDeniedEvent) Denial {
	return Denial{Door: Door(w.Door), Errno: unix.Errno(-w.Ret)}
}

func decodeLookup(w *bpfLookupEvent) Lookup {
	l := Lookup{
		Name:       wire.Text(w.Name[:]),
		Found:      has(&w.H, bpfFlagFLAG_FOUND),
		State:      State(w.State),
		HasInit:    has(&w.H, bpfFlagFLAG_HAS_INIT),
		HasExit:    has(&w.H, bpfFlagFLAG_HAS_EXIT),
		HoldersCut: has(&w.H, bpfFlagFLAG_CUT),
	}
	if has(&w.H, bpfFlagFLAG_HAS_REFS) {
		refs := w.Refs // w is the reader's memory, and used again
		l.Refs = &refs
	}
	for i := range min(int(w.Holders), len(w.Holder)) {
		l.Holders = append(l.Holders, wire.Text(w.Holder[i][:]))
	}
	return l
}

// joinPath turns names from the leaf to the root, each ended by NUL, into a path.
func joinPath(names []byte, cut bool) string {
	var path strings.Builder
	path.Grow(len("…/") + len(names))
	if cut {
		path.WriteString("…")
	}
	names = bytes.TrimSuffix(names, []byte{0})
	for end := len(names); end >= 0; {
		begin := bytes.LastIndexByte(names[:end], 0) + 1
		path.WriteByte('/')
		path.Write(names[begin:end])
		end = begin - 1
	}
	return wire.Printable(path.String())
}

func decodeModule(w *bpfModuleEvent) Module {
	m := Module{
		Name:       wire.Text(w.Name[:]),
		State:      State(w.State),
		Taints:     Taints(w.Taints),
		Version:    wire.Text(w.Version[:]),
		SrcVersion: wire.Text(w.Srcversion[:]),
		Address:    Address(w.Address),
		Size:       w.Size,
		InitSize:   w.InitSize,
		ID:         Address(w.Module),

		InitAddress: Address(w.InitAddress),
	}
	if has(&w.H, bpfFlagFLAG_HAS_SIG) {
		signed := has(&w.H, bpfFlagFLAG_SIGNED)
		m.Signed = &signed
	}
	return m
}

func decodeRequest(w *bpfRequestEvent) Request {
	name := wire.Text(w.Name[:])
	return Request{
		Name:         name,
		Meaning:      meaning(name),
		Wait:         has(&w.H, bpfFlagFLAG_WAIT),
		Denied:       has(&w.H, bpfFlagFLAG_DENIED),
		Unprivileged: has(&w.H, bpfFlagFLAG_LIMITED),
		Site:         Address(w.Site),
		Symbol:       siteSymbol(wire.Text(w.Symbol[:])),
	}
}

func decodeFormat(w *bpfFormatEvent) Request {
	arguments := make([]argument, len(w.Arg))
	for i := range arguments {
		arguments[i] = argument{number: w.Arg[i], text: string(wire.UntilNUL(w.Text[i][:]))}
	}
	name := wire.Printable(formatted(string(wire.UntilNUL(w.Format[:])), arguments))
	return Request{
		Name:         name,
		Meaning:      meaning(name),
		Wait:         has(&w.H, bpfFlagFLAG_WAIT),
		Refused:      true,
		Unprivileged: has(&w.H, bpfFlagFLAG_LIMITED),
		Site:         Address(w.Site),
		Symbol:       siteSymbol(wire.Text(w.Symbol[:])),
	}
}

func decodeMessage(w *bpfTextEvent) Message {
	text := w.Text[:min(int(w.Length), len(w.Text))]
	return Message{
		Text: wire.Printable(strings.TrimRight(string(text), "\x00\n")),
		Cut:  has(&w.H, bpfFlagFLAG_CUT),

		Level:  levelOf(w.Level),
		Record: w.Record,
	}
}
