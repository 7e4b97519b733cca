package ring

import (
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// BenchmarkRing compares what our reader of the ring and the library's take of the
// processor for each record, where records come as they do from 300 actions a second.
func BenchmarkRing(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		r, err := openRing(filledRing(b), &reading{})
		if err != nil {
			b.Fatal(err)
		}
		defer r.close()
		var records batch
		measure(b, func() int {
			records.reset()
			if err := r.await(); err != nil {
				b.Fatal(err)
			}
			if err := r.take(&records); err != nil {
				b.Fatal(err)
			}
			return len(records.framed) / (frameSize + recordSize)
		})
	})
	b.Run("library", func(b *testing.B) {
		r, err := ringbuf.NewReader(filledRing(b))
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		var record ringbuf.Record
		measure(b, func() int {
			if err := r.ReadInto(&record); err != nil {
				b.Fatal(err)
			}
			return 1
		})
	})
}

// recordSize is that of a record, of which a load has a dozen.
const recordSize, recordsASecond = 128, 300 * 12

// filledRing gives a ring that a timer of the kernel fills as long as the benchmark runs.
func filledRing(b *testing.B) *ebpf.Map {
	b.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 8 << 20})
	if err != nil {
		b.Skipf("no ring of events can be made here: %v", err)
	}
	b.Cleanup(func() { m.Close() })
	program := asm.Instructions{asm.Mov.Imm(asm.R0, 0)}
	for at := -recordSize; at < 0; at += 8 {
		program = append(program, asm.StoreMem(asm.RFP, int16(at), asm.R0, asm.DWord))
	}
	program = append(program,
		asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -recordSize),
		asm.Mov.Imm(asm.R3, recordSize), asm.Mov.Imm(asm.R4, 0), asm.FnRingbufOutput.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.PerfEvent, Instructions: program, License: "GPL"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: uint64(time.Second / recordsASecond),
	}, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		b.Skipf("no timer: %v", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	b.Cleanup(func() { timer.Close() })
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, p.FD()); err != nil {
		b.Fatal(err)
	}
	return m
}

// measure reads b.N records, of which read gives some at a time.
func measure(b *testing.B, read func() int) {
	b.Helper()
	b.ResetTimer()
	before := processorTime(b)
	for got := 0; got < b.N; {
		got += read()
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/record")
}

// processorTime is what this process has taken of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
