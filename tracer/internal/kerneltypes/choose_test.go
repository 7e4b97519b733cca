package kerneltypes

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// described is BTF as a kernel has it: a struct with a member by value, one by pointer, a union
// without a name, a bit field, an array and enums; beside it what nobody asks for.
func described(t *testing.T) []byte {
	t.Helper()
	size := &btf.Int{Name: "unsigned int", Size: 4}
	inner := &btf.Struct{Name: "inner", Size: 4, Members: []btf.Member{{Name: "depth", Type: &btf.Typedef{Name: "u32", Type: size}}}}
	other := &btf.Struct{Name: "other", Size: 4, Members: []btf.Member{{Name: "unasked", Type: size}}}
	call := &btf.Pointer{Target: &btf.FuncProto{Return: size, Params: []btf.FuncParam{{Name: "of", Type: &btf.Pointer{Target: other}}}}}
	outer := &btf.Struct{Name: "outer", Size: 40, Members: []btf.Member{
		{Name: "inside", Type: &btf.Const{Type: inner}},
		{Name: "elsewhere", Type: &btf.Pointer{Target: other}, Offset: 64},
		{Type: &btf.Union{Size: 8, Members: []btf.Member{{Name: "call", Type: call}, {Name: "many", Type: &btf.Array{Index: size, Type: size, Nelems: 2}}}}, Offset: 128},
		{Name: "bits", Type: size, Offset: 196, BitfieldSize: 3},
		{Name: "state", Type: &btf.Enum{Name: "state", Size: 4, Values: []btf.EnumValue{{Name: "LIVE", Value: 0}, {Name: "GONE", Value: 7}}}, Offset: 256},
		{Name: "wide", Type: &btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "WIDE", Value: 1 << 40}}}, Offset: 256},
	}}
	variant := &btf.Struct{Name: "outer___old", Size: 4, Members: []btf.Member{{Name: "inside", Type: size}}}
	function := &btf.Func{Name: "outer", Type: &btf.FuncProto{Return: size}, Linkage: btf.GlobalFunc}
	b, err := btf.NewBuilder([]btf.Type{other, outer, variant, function, &btf.Typedef{Name: "outer_t", Type: outer}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestChoose(t *testing.T) {
	raw, err := choose(described(t), Names{"outer": true})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var outer, variant *btf.Struct
	if err := errors.Join(spec.TypeByName("outer", &outer), spec.TypeByName("outer___old", &variant)); err != nil {
		t.Fatal(err)
	}
	if outer.Size != 40 || len(outer.Members) != 6 || len(variant.Members) != 1 {
		t.Errorf("%+v, %+v", outer, variant)
	}
	inner, ok := btf.As[*btf.Struct](outer.Members[0].Type)
	if !ok || inner.Name != "inner" || inner.Members[0].Name != "depth" || btf.UnderlyingType(inner.Members[0].Type).TypeName() != "unsigned int" {
		t.Errorf("inside: %+v", outer.Members[0].Type)
	}
	if p, ok := outer.Members[1].Type.(*btf.Pointer); !ok || btf.UnderlyingType(p.Target) != (*btf.Void)(nil) && p.Target.TypeName() != "" {
		t.Errorf("elsewhere: %+v", outer.Members[1].Type)
	}
	union, ok := outer.Members[2].Type.(*btf.Union)
	if !ok || union.Members[0].Name != "call" || union.Members[1].Type.(*btf.Array).Nelems != 2 {
		t.Errorf("union: %+v", outer.Members[2].Type)
	}
	if m := outer.Members[3]; m.BitfieldSize != 3 || m.Offset != 196 {
		t.Errorf("bits: %+v", m)
	}
	if e := outer.Members[4].Type.(*btf.Enum); e.Values[1] != (btf.EnumValue{Name: "GONE", Value: 7}) {
		t.Errorf("state: %+v", e)
	}
	if e := outer.Members[5].Type.(*btf.Enum); e.Values[0].Value != 1<<40 {
		t.Errorf("wide: %+v", e)
	}
	for _, name := range []string{"other", "outer_t"} {
		if _, err := spec.AnyTypesByName(name); !errors.Is(err, btf.ErrNotFound) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	if functions, _ := spec.AnyTypesByName("outer"); len(functions) != 1 {
		t.Errorf("a function is there: %v", functions)
	}
}

// TestChooseNothing: names that the kernel does not have give no types, and no error.
func TestChooseNothing(t *testing.T) {
	raw, err := choose(described(t), Names{"missing": true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := btf.LoadSpecFromReader(bytes.NewReader(raw)); err != nil {
		t.Error(err)
	}
}

// TestChooseHostile: what is not whole BTF is an error, and nothing is read beyond it.
func TestChooseHostile(t *testing.T) {
	whole := described(t)
	for n := range whole {
		if _, err := choose(whole[:n], Names{"outer": true}); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	for i := range whole {
		for _, with := range []byte{0, 0xff, whole[i] ^ 1, whole[i] ^ 0x80} {
			bad := bytes.Clone(whole)
			bad[i] = with
			if some, err := choose(bad, Names{"outer": true, "inner": true}); err == nil {
				_, _ = btf.LoadSpecFromReader(bytes.NewReader(some))
			}
		}
	}
}
