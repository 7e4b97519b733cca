package calls

import (
	"github.com/cilium/ebpf/btf"
)

// KernelTypes tells what the kernel's functions return, by the types that the running kernel describes
// itself with. It is nil where there are none.
func KernelTypes() func(function string) Type {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil
	}
	return func(function string) Type {
		var f *btf.Func
		if kernel.TypeByName(function, &f) != nil {
			return Unknown
		}
		proto, ok := f.Type.(*btf.FuncProto)
		if !ok {
			return Unknown
		}
		return typeOf(proto.Return)
	}
}

func typeOf(t btf.Type) Type {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Void:
		return Void
	case *btf.Pointer:
		return Pointer
	case *btf.Enum:
		return Unsigned
	case *btf.Int:
		switch {
		case t.Encoding == btf.Bool:
			return Bool
		case t.Encoding == btf.Signed && t.Size > 4:
			return Long
		case t.Encoding == btf.Signed:
			return Int
		}
		return Unsigned
	}
	return Unknown
}
