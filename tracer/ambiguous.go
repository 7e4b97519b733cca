package tracer

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// loadAmbiguous loads a program for a function that the kernel's BTF has more
// than once, which the library refuses to do: it cannot know whether the name
// stands for several functions. Here it does not. 6.1 describes each system call
// twice, as defined and as the weak fallback of kernel/sys_ni.c, and has one: the
// kernel finds the address by the name, whichever of the types is given.
func (at *attacher) loadAmbiguous(spec *ebpf.ProgramSpec) (*ebpf.Program, error) {
	kernel, err := at.cache.Kernel()
	if err != nil {
		return nil, err
	}
	insns, err := at.relocate(spec.Instructions, kernel)
	if err != nil {
		return nil, err
	}
	types, err := kernel.AnyTypesByName(spec.AttachTo)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, t := range types {
		if _, ok := t.(*btf.Func); !ok {
			continue
		}
		id, err := kernel.TypeID(t)
		if err != nil {
			return nil, err
		}
		p, err := loadTracing(spec, insns, id)
		if err == nil {
			return p, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// relocate ties the instructions to this kernel's types and to our maps.
func (at *attacher) relocate(insns asm.Instructions, kernel *btf.Spec) ([]byte, error) {
	insns = append(asm.Instructions(nil), insns...)
	var relocations []*btf.CORERelocation
	var where []*asm.Instruction
	for i := range insns {
		if r := btf.CORERelocationMetadata(&insns[i]); r != nil {
			relocations = append(relocations, r)
			where = append(where, &insns[i])
		}
	}
	var local btf.Builder
	fixups, err := btf.CORERelocate(relocations, []*btf.Spec{kernel}, at.spec.ByteOrder, local.Add)
	if err != nil {
		return nil, fmt.Errorf("relocate: %w", err)
	}
	for i, f := range fixups {
		if err := f.Apply(where[i]); err != nil {
			return nil, fmt.Errorf("relocate: %w", err)
		}
	}
	for name, m := range at.maps {
		if err := insns.AssociateMap(name, m); err != nil && !errors.Is(err, asm.ErrUnreferencedSymbol) {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := insns.Marshal(&b, at.spec.ByteOrder); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// progLoad is the head of union bpf_attr for BPF_PROG_LOAD (include/uapi/linux/bpf.h),
// as far as 5.10 knows it.
type progLoad struct {
	progType, insnCount         uint32
	insns, license              unsafe.Pointer
	logLevel, logSize           uint32
	logBuf                      uint64
	kernVersion, flags          uint32
	name                        [16]byte
	ifindex, expectedAttachType uint32
	btfFD, funcInfoRecSize      uint32
	funcInfo                    uint64
	funcInfoCount, lineRecSize  uint32
	lineInfo                    uint64
	lineInfoCount, attachBTFID  uint32
	attachProgFD                uint32
	_                           uint32
}

func loadTracing(spec *ebpf.ProgramSpec, insns []byte, target btf.TypeID) (*ebpf.Program, error) {
	license := append([]byte(spec.License), 0)
	attr := progLoad{
		progType:           uint32(ebpf.Tracing),
		insnCount:          uint32(len(insns) / asm.InstructionSize),
		insns:              unsafe.Pointer(unsafe.SliceData(insns)),
		license:            unsafe.Pointer(unsafe.SliceData(license)),
		expectedAttachType: uint32(spec.AttachType),
		attachBTFID:        uint32(target),
	}
	copy(attr.name[:len(attr.name)-1], spec.Name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&attr) // and with it what it points to
	if errno != 0 {
		return nil, fmt.Errorf("load %s for type %d of %s: %w", spec.Name, target, spec.AttachTo, errno)
	}
	return ebpf.NewProgramFromFD(int(fd))
}
