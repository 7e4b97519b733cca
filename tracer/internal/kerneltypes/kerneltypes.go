// Package kerneltypes reads from the running kernel's BTF only the types that programs name.
//
// A kernel describes some 130,000 types in 5 MB. The library indexes them all, which takes 12 MB
// and as long as all else that a start reads; our programs name about a hundred, and need some
// thousand to find their fields. No library selects types from BTF without having parsed all of
// it. BTF of a form that is not known here is left to the library whole.
package kerneltypes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf/btf"
)

const kernelBTF = "/sys/kernel/btf/vmlinux"

// Names are those of the types that programs look for.
type Names map[string]bool

// Read gives the kernel's types of these names, and what they are made of, or all of the kernel's
// types where these cannot be told apart. Pointers in them lead nowhere, and their numbers are not
// the kernel's: they serve relocations, and not to attach to functions.
func Read(names Names) (*btf.Spec, error) {
	if all, err := os.ReadFile(kernelBTF); err == nil {
		if some, err := choose(all, names); err == nil {
			if spec, err := btf.LoadSpecFromReader(bytes.NewReader(some)); err == nil {
				return spec, nil
			}
		}
	}
	return btf.LoadKernelSpec()
}

// NamesOf lists what the relocations of programs with these types of their own may look for.
func NamesOf(local *btf.Spec) (Names, error) {
	names := make(Names)
	for t, err := range local.All() {
		if err != nil {
			return nil, fmt.Errorf("types of the programs: %w", err)
		}
		switch t.(type) {
		case *btf.Struct, *btf.Union, *btf.Enum, *btf.Typedef, *btf.Fwd:
			if name := t.TypeName(); name != "" {
				names[string(essential([]byte(name)))] = true
			}
		}
	}
	return names, nil
}

// essential is a name without the suffix of a variant, by the library's rule: what follows "___" is
// only there to tell variants apart.
func essential(name []byte) []byte {
	if i := bytes.LastIndex(name, []byte("___")); i > 0 {
		return name[:i]
	}
	return name
}

// Kinds of types, by the kernel's Documentation/bpf/btf.rst.
const (
	kindInt = iota + 1
	kindPointer
	kindArray
	kindStruct
	kindUnion
	kindEnum
	kindForward
	kindTypedef
	kindVolatile
	kindConst
	kindRestrict
	kindFunction
	kindPrototype
	kindVariable
	kindSection
	kindFloat
	kindDeclTag
	kindTypeTag
	kindEnum64
)

// errUnknown is BTF that is not read here.
var errUnknown = errors.New("BTF of an unknown form")

// order is that of the kernels that are traced: amd64 and arm64 have one.
var order = binary.LittleEndian

const (
	headerSize = 24
	typeSize   = 12 // struct btf_type
)

// types are those of one BTF.
type types struct {
	data    []byte   // all of them, one behind the other
	strings []byte   // what names are offsets in
	starts  []uint32 // where each begins; the first, of number 0, is void
}

// parse finds where each type begins, and calls named for those that a relocation can look for.
func parse(raw []byte, named func(id uint32, name []byte)) (*types, error) {
	if len(raw) < headerSize || order.Uint16(raw) != 0xeb9f || raw[2] != 1 || raw[3] != 0 || order.Uint32(raw[4:]) < headerSize {
		return nil, errUnknown
	}
	body := raw[min(uint64(order.Uint32(raw[4:])), uint64(len(raw))):]
	part := func(at int) ([]byte, bool) {
		start, size := uint64(order.Uint32(raw[at:])), uint64(order.Uint32(raw[at+4:]))
		if start+size > uint64(len(body)) {
			return nil, false
		}
		return body[start : start+size], true
	}
	data, whole := part(8)
	texts, rest := part(16)
	if !whole || !rest || len(texts) == 0 || texts[0] != 0 || texts[len(texts)-1] != 0 {
		return nil, errUnknown
	}
	ts := &types{data: data, strings: texts, starts: make([]uint32, 1, len(data)/20)}
	for at := 0; at < len(data); {
		size, err := sizeOf(data[at:])
		if err != nil {
			return nil, err
		}
		if isNamed(kindOf(data[at:])) {
			name, err := ts.name(order.Uint32(data[at:]))
			if err != nil {
				return nil, err
			}
			named(uint32(len(ts.starts)), name)
		}
		ts.starts = append(ts.starts, uint32(at))
		at += size
	}
	return ts, nil
}

func (ts *types) name(offset uint32) ([]byte, error) {
	if uint64(offset) >= uint64(len(ts.strings)) {
		return nil, errUnknown
	}
	text := ts.strings[offset:]
	return text[:bytes.IndexByte(text, 0)], nil
}

func kindOf(t []byte) uint32   { return order.Uint32(t[4:]) >> 24 & 0x1f }
func lengthOf(t []byte) uint32 { return order.Uint32(t[4:]) & 0xffff }

func isNamed(kind uint32) bool {
	switch kind {
	case kindStruct, kindUnion, kindEnum, kindEnum64, kindTypedef:
		return true
	}
	return false
}

// sizeOf is how many bytes the type takes that data begins with.
func sizeOf(data []byte) (int, error) {
	if len(data) < typeSize {
		return 0, errUnknown
	}
	var size int
	switch n := int(lengthOf(data)); kindOf(data) {
	case kindPointer, kindForward, kindTypedef, kindVolatile, kindConst, kindRestrict, kindFunction, kindFloat, kindTypeTag:
		size = typeSize
	case kindInt, kindVariable, kindDeclTag:
		size = typeSize + 4
	case kindArray:
		size = typeSize + 12
	case kindStruct, kindUnion, kindSection, kindEnum64:
		size = typeSize + 12*n
	case kindEnum, kindPrototype:
		size = typeSize + 8*n
	default:
		return 0, errUnknown
	}
	if size > len(data) {
		return 0, errUnknown
	}
	return size, nil
}
