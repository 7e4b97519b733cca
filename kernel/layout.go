package kernel

import (
	"fmt"
	"sync"

	"github.com/cilium/ebpf/btf"
)

// layout tells where the members of the kernel's structures are, from its BTF.
type layout struct {
	spec *btf.Spec

	mu    sync.Mutex
	types map[string][]*btf.Struct
}

func (k *Kernel) readLayout() (*layout, error) {
	spec, err := btf.LoadSpec(k.path("sys/kernel/btf/vmlinux"))
	if err != nil {
		return nil, unknown("the kernel's types: %w", err)
	}
	return &layout{spec: spec, types: make(map[string][]*btf.Struct)}, nil
}

// offset gives a member's distance from the structure's start.
func (l *layout) offset(structure, member string) (uint64, bool) {
	for _, s := range l.structs(structure) {
		if bits, ok := memberOffset(s.Members, member, 0); ok {
			return uint64(bits) / 8, true
		}
	}
	return 0, false
}

// offsets is offset for several that must all exist.
func (l *layout) offsets(structure string, members ...string) (map[string]uint64, error) {
	found := make(map[string]uint64)
	for _, member := range members {
		offset, ok := l.offset(structure, member)
		if !ok {
			return nil, fmt.Errorf("the kernel's types have no %s of struct %s", member, structure)
		}
		found[member] = offset
	}
	return found, nil
}

func (l *layout) structs(name string) []*btf.Struct {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.types[name]; ok {
		return known
	}
	var found []*btf.Struct
	types, _ := l.spec.AnyTypesByName(name)
	for _, t := range types {
		if s, ok := t.(*btf.Struct); ok {
			found = append(found, s)
		}
	}
	l.types[name] = found
	return found
}

// memberOffset looks in unnamed structures and unions too.
func memberOffset(members []btf.Member, name string, depth int) (btf.Bits, bool) {
	const deepest = 8
	for _, m := range members {
		if m.Name == name {
			return m.Offset, true
		}
		if m.Name != "" || depth == deepest {
			continue
		}
		var inner []btf.Member
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if offset, ok := memberOffset(inner, name, depth+1); ok {
			return m.Offset + offset, true
		}
	}
	return 0, false
}
