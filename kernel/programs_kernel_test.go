package kernel

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestKernelLSMPrograms: BPF can have refused only where a program of that kind is loaded.
func TestKernelLSMPrograms(t *testing.T) {
	k := openRunning(t)
	has := func() bool {
		t.Helper()
		has, err := k.HasLSMPrograms()
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	if has() {
		t.Error("there is one before it is loaded")
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "kernel_read_file", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !has() {
		t.Error("it is not found")
	}
}
