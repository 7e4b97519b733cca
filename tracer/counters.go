package tracer

import (
	"unsafe"

	"github.com/cilium/ebpf"
)

// readCounters copies the values of a map that lies in the memory of this process.
//
// What is read again and again while tracing is read so, and not by system call: the kernel
// keeps BPF programs from running on a processor while it looks a map up, or changes it, for
// somebody there (bpf_disable_instrumentation). On a kernel that preempts itself another
// thread can run on that processor meanwhile, and its probes are skipped.
func readCounters[T any](m *ebpf.Map) ([]T, error) {
	memory, err := m.Memory()
	if err != nil {
		return nil, err
	}
	values := make([]T, m.MaxEntries())
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0])))
	_, err = memory.ReadAt(bytes, 0)
	return values, err
}
