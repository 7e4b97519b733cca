package tracer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
	"golang.org/x/sys/unix"
)

const kprobesSwitch = "/sys/kernel/debug/kprobes/enabled"

// What keeps a kernel, or a user, from tracing at all.
var (
	ErrPrivilege  = errors.New("not permitted: tracing needs root, or CAP_BPF and CAP_PERFMON")
	ErrNoBTF      = errors.New("no BTF: this kernel was built without CONFIG_DEBUG_INFO_BTF")
	ErrNoModules  = errors.New("no modules: this kernel was built without CONFIG_MODULES")
	ErrNoKprobes  = errors.New("no kprobes: this kernel was built without CONFIG_KPROBES")
	ErrKprobesOff = errors.New("kprobes are turned off: write 1 to " + kprobesSwitch)
	// ErrKprobesRefused: the kernel has kprobes, and does not let this process attach one.
	ErrKprobesRefused = errors.New("no kprobes: this kernel refuses to attach one")
	ErrLockdown       = errors.New("lockdown: this kernel does not let BPF programs read its memory")
	// ErrNoTracefs is why a return cannot be probed: that many at once are asked for there.
	ErrNoTracefs = attach.ErrNoTracefs
)

// HaveTracing asks whether this kernel lets this user trace modules, and gives
// the first reason why not.
func HaveTracing() error {
	// Whether it really lets a kprobe attach shows when the hooks are attached.
	for _, have := range []func() error{HaveModules, builtWithKprobes, HaveBTF, HavePrivilege, HaveNoLockdown} {
		if err := have(); err != nil {
			return err
		}
	}
	return nil
}

// HaveModules asks whether this kernel can load modules at all.
func HaveModules() error {
	if _, err := os.Stat("/proc/modules"); errors.Is(err, os.ErrNotExist) {
		return ErrNoModules
	}
	return nil
}

// HaveKprobes asks whether functions of this kernel can be probed. Where this process may
// trace, it attaches a program that does nothing to do_init_module and detaches it: the
// kernel's lockdown, for one, refuses what its configuration has.
func HaveKprobes() error {
	if err := builtWithKprobes(); err != nil || HavePrivilege() != nil {
		return err
	}
	err := tryKprobe("do_init_module")
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return err
	}
	if mode, modeErr := Lockdown(); modeErr == nil && mode != "none" {
		return fmt.Errorf("%w (%w); its lockdown mode is %s", ErrKprobesRefused, err, mode)
	}
	return fmt.Errorf("%w (%w)", ErrKprobesRefused, err)
}

func tryKprobe(target string) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.Kprobe(target, p, nil)
	if err != nil {
		return err
	}
	return l.Close()
}

// builtWithKprobes asks whether this kernel has kprobes, and whether they are turned on:
// probes that are off attach, and never run.
func builtWithKprobes() error {
	if text, err := os.ReadFile(kprobesSwitch); err == nil && strings.TrimSpace(string(text)) == "0" {
		return ErrKprobesOff
	}
	if _, err := os.Stat("/sys/bus/event_source/devices/kprobe"); err == nil {
		return nil
	}
	// The list of symbols needs neither privilege nor tracefs.
	if has, err := procfs.HasSymbol("/", "register_kprobe"); has || err != nil {
		return nil
	}
	return ErrNoKprobes
}

// HaveBTF asks whether this kernel describes its own types.
func HaveBTF() error {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		return nil
	}
	if _, err := btf.LoadKernelSpec(); err == nil {
		return nil
	}
	return ErrNoBTF
}

// HaveFentry asks whether functions can be hooked through BPF trampolines,
// entry and return. It attaches a program that does nothing to do_init_module:
// that a program loads is not enough on arm64 before 6.4 or so.
func HaveFentry() error { return attach.HaveTrampolines(btf.NewCache()) }

// HavePrivilege asks whether this process may load and attach tracing programs.
func HavePrivilege() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	if has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON) {
		return nil
	}
	return ErrPrivilege
}

// HaveNoLockdown asks whether lockdown keeps BPF programs from reading kernel
// memory: in its mode confidentiality they cannot. Where this process may trace, the kernel's
// verifier answers that, because the mode may be unreadable, and other security modules
// can refuse the same.
func HaveNoLockdown() error {
	if mode, err := Lockdown(); err == nil && mode == "confidentiality" {
		return ErrLockdown
	}
	if HavePrivilege() != nil {
		return nil
	}
	return tryMemoryRead()
}

// tryMemoryRead loads a program that reads eight bytes. A kernel that does not allow that
// does not have the helper for it; an unattached program reads nothing.
func tryMemoryRead() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -8), asm.Mov.Imm(asm.R2, 8), asm.Mov.Imm(asm.R3, 0),
			asm.FnProbeReadKernel.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
		},
	})
	switch {
	case err == nil:
		return p.Close()
	case errors.Is(err, unix.EINVAL):
		return ErrLockdown
	}
	return nil // it is not lockdown; attaching gives the reason
}

// Lockdown reads the mode: none, integrity or confidentiality.
func Lockdown() (string, error) {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return "", fmt.Errorf("read lockdown mode: %w", err)
	}
	mode, found := procfs.LockdownMode(string(text))
	if !found {
		return "", fmt.Errorf("read lockdown mode: %q has none marked", text)
	}
	return mode, nil
}

// HaveBPFLSM asks whether programs can be attached to LSM hooks: "bpf" must be
// among the active ones, or they attach and never run.
func HaveBPFLSM() error {
	text, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		return fmt.Errorf("read active LSMs: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSpace(string(text)), ",") {
		if name == "bpf" {
			return nil
		}
	}
	return fmt.Errorf("bpf is not among the active LSMs (%s)", strings.TrimSpace(string(text)))
}

// Release gives the running kernel's release, as uname -r does.
func Release() (string, error) {
	release := procfs.Uname().Release
	if release == "" {
		return "", errors.New("read kernel release: uname has none")
	}
	return release, nil
}

func runningVersion() (version, error) { return parseVersion(procfs.Uname().Release) }

// parseVersion reads "6.12.117+deb13-cloud-amd64".
func parseVersion(release string) (version, error) {
	var v version
	if n, _ := fmt.Sscanf(release, "%d.%d", &v.major, &v.minor); n != 2 {
		return version{}, fmt.Errorf("kernel release %q does not begin with a version", release)
	}
	return v, nil
}

// HaveNoPreemption asks whether this kernel leaves its own code alone until it is
// done, which [Fentry] needs in order to miss nothing. Where the mode cannot be
// read, a kernel that may preempt itself is taken for one that does.
func HaveNoPreemption() error {
	mode, err := os.ReadFile("/sys/kernel/debug/sched/preempt")
	if err != nil {
		mode = nil
	}
	return preemption(procfs.Uname().Version, string(mode))
}

// preemption reads "#1 SMP PREEMPT_DYNAMIC Debian …" and, where that leaves the
// mode open, "none (voluntary) full".
func preemption(version, modes string) error {
	_, rest, _ := strings.Cut(modes, "(")
	mode, _, known := strings.Cut(rest, ")")
	switch {
	case !strings.Contains(version, "PREEMPT"):
		return nil
	case known && (mode == "none" || mode == "voluntary"):
		return nil
	case known:
		return fmt.Errorf("this kernel preempts itself (%s)", mode)
	default:
		return errors.New("this kernel may preempt itself")
	}
}
