package holders

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// struct tcmsg and its attribute (linux/rtnetlink.h), and where something hangs
// (linux/pkt_sched.h).
const (
	tcmsgSize  = 20
	tcaKind    = 1
	atRoot     = 0xffffffff
	atIngress  = 0xfffffff1 // of ingress and clsact
	minIngress = 0xfff2     // the lower half of a filter's parent there
	minEgress  = 0xfff3
)

// tcEntry is a queueing discipline or filter on a network device.
type tcEntry struct {
	device         int
	handle, parent uint32
	kind           string
}

func listTraffic(kind uint16, device int, parent uint32) ([]tcEntry, error) {
	request := make([]byte, tcmsgSize)
	binary.NativeEndian.PutUint32(request[4:], uint32(device))
	binary.NativeEndian.PutUint32(request[12:], parent)
	var all []tcEntry
	for m, err := range dump(unix.NETLINK_ROUTE, kind, request) {
		if err != nil {
			return all, fmt.Errorf("list what tc has set: %w", err)
		}
		if len(m) < tcmsgSize {
			continue
		}
		e := tcEntry{
			device: int(int32(binary.NativeEndian.Uint32(m[4:]))), handle: binary.NativeEndian.Uint32(m[8:]), parent: binary.NativeEndian.Uint32(m[12:]),
			kind: string(wire.UntilNUL(attribute(m[tcmsgSize:], tcaKind))),
		}
		if !slices.Contains(all, e) || kind == unix.RTM_GETQDISC {
			all = append(all, e)
		}
	}
	return all, nil
}

// disciplines are the queueing disciplines of network devices, and the filters that hang on them.
func (s *textSources) disciplines() ([]User, error) {
	filters := strings.HasPrefix(s.module, "cls_")
	if s.root != "/" || !filters && !strings.HasPrefix(s.module, "sch_") {
		return nil, nil
	}
	all, err := listTraffic(unix.RTM_GETQDISC, 0, 0)
	if err != nil {
		return nil, err
	}
	var users []User
	for _, q := range all {
		if !filters {
			if s.isDiscipline(q.kind) {
				users = append(users, q.discipline())
			}
			continue
		}
		found, err := s.filters(q)
		if err != nil {
			return users, err
		}
		users = append(users, found...)
	}
	return users, nil
}

// discipline says what lets go of it. One that the kernel made itself has no handle to delete it
// by, and goes with the tree that it is in.
func (q tcEntry) discipline() User {
	device := deviceName(q.device)
	u := User{Kind: QueueingDiscipline, Holds: true, Name: wire.Printable(q.kind), On: wire.Printable(device)}
	word := shellWord(device)
	switch {
	case q.handle == 0:
		u.LetGo = "tc qdisc replace dev " + word + " root pfifo_fast"
	case q.parent == atRoot:
		u.LetGo = "tc qdisc del dev " + word + " root"
	case q.parent == atIngress:
		u.LetGo = "tc qdisc del dev " + word + " " + shellWord(q.kind)
	default:
		u.LetGo = "tc qdisc del dev " + word + " parent " + tcHandle(q.parent)
	}
	return u
}

// filters are those of the module that hang on a queueing discipline, each place once: the kernel
// asks for cls_NAME, from 6.8 on for net-cls-NAME.
func (s *textSources) filters(q tcEntry) ([]User, error) {
	parents := map[uint32]string{q.handle: "parent " + tcHandle(q.handle)}
	if q.parent == atIngress {
		parents = map[uint32]string{q.handle&0xffff0000 | minIngress: "ingress", q.handle&0xffff0000 | minEgress: "egress"}
	} else if q.handle == 0 {
		return nil, nil // which has no filters
	}
	var users []User
	for parent, place := range parents {
		if place == "egress" && q.kind != "clsact" {
			continue
		}
		found, err := listTraffic(unix.RTM_GETTFILTER, q.device, parent)
		if err != nil {
			return users, err
		}
		for _, f := range found {
			if !s.is("cls_"+f.kind) && !s.serves("net-cls-"+f.kind) && !s.serves("cls_"+f.kind) {
				continue
			}
			device := deviceName(q.device)
			users = append(users, User{
				Kind: TrafficFilter, Holds: true, Name: wire.Printable(f.kind), On: wire.Printable(device + " " + place),
				LetGo: "tc filter del dev " + shellWord(device) + " " + place,
			})
			break // the command takes all that hang there
		}
	}
	return users, nil
}

// tcHandle writes a handle as tc does.
func tcHandle(handle uint32) string {
	if handle&0xffff == 0 {
		return fmt.Sprintf("%x:", handle>>16)
	}
	return fmt.Sprintf("%x:%x", handle>>16, handle&0xffff)
}

// deviceName is that in the network namespace of the calling thread.
func deviceName(index int) string {
	if device, err := net.InterfaceByIndex(index); err == nil {
		return device.Name
	}
	return fmt.Sprintf("if%d", index)
}

// actions are those of the module that filters, or nobody, use: the kernel asks for act_NAME, from
// 6.8 on for net-act-NAME.
func (s *textSources) actions() ([]User, error) {
	name, found := strings.CutPrefix(s.module, "act_")
	if !found || s.root != "/" {
		return nil, nil
	}
	const tcamsgSize, table, first, kind = 4, 1, 1, 1
	request := append(make([]byte, tcamsgSize), netlinkAttribute(table, netlinkAttribute(first, netlinkAttribute(kind, []byte(name+"\x00"))))...)
	count := 0
	for m, err := range dump(unix.NETLINK_ROUTE, unix.RTM_GETACTION, request) {
		if err != nil {
			return nil, fmt.Errorf("list actions of tc: %w", err)
		}
		for range attributes(attribute(m[min(len(m), tcamsgSize):], table)) {
			count++
		}
	}
	if count == 0 {
		return nil, nil
	}
	return []User{{Kind: TrafficAction, Holds: true, Name: wire.Printable(name), Count: count}}, nil
}

func netlinkAttribute(number uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(unix.NLA_HDRLEN+len(value)))
	a = append(binary.NativeEndian.AppendUint16(a, number), value...)
	return append(a, make([]byte, -len(a)&3)...)
}
