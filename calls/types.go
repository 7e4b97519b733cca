package calls

import (
	"bytes"
	"debug/elf"
	"errors"

	"github.com/cilium/ebpf/btf"
)

// KernelTypes tells what the kernel's functions return, by the types that the running kernel describes
// itself with. It is nil where there are none.
func KernelTypes() func(function string) Type {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil
	}
	return typesOf(kernel)
}

// ModuleTypes is the same for the functions of a module that was built together with the running kernel:
// its types are numbered after those of the kernel, and of no other build. It is nil where the file has none.
func ModuleTypes(image []byte) (types func(function string) Type) {
	defer func() {
		if recover() != nil { // the file may be hostile
			types = nil
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil
	}
	section := f.Section(".BTF")
	if section == nil || f.Section(".BTF.base") != nil { // then the numbers are not the kernel's
		return nil
	}
	data, err := section.Data()
	kernel, kernelErr := btf.LoadKernelSpec()
	if errors.Join(err, kernelErr) != nil {
		return nil
	}
	module, err := btf.LoadSplitSpecFromReader(bytes.NewReader(data), kernel)
	if err != nil {
		return nil
	}
	return typesOf(module)
}

// typesOf looks functions up. Several of one name are not told from each other.
func typesOf(spec *btf.Spec) func(function string) Type {
	return func(function string) Type {
		var f *btf.Func
		if spec.TypeByName(function, &f) != nil {
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
