package lab

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accel is what executes the guest's instructions.
type Accel string

const (
	KVM Accel = "kvm" // the processor itself; only for guests of the host's architecture
	TCG Accel = "tcg" // QEMU's emulation, which works everywhere
	// Counted is TCG with one processor whose clock counts its instructions, one in two
	// nanoseconds: the same work takes the same time in the guest, however busy the host is.
	Counted Accel = "counted"
)

// qemu is the emulator for one architecture, as installed on this host.
type qemu struct {
	path  string
	arch  string // GOARCH of its guests
	major int
	full  string // its version, with the distribution's suffix
	// sandbox says that it can give up the system calls that it does not need.
	sandbox bool
}

// sandboxOption: a QEMU that its guest has taken over starts no program, gets no
// privilege, and calls nothing that is obsolete.
const sandboxOption = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

// qemuPrograms maps GOARCH to the emulator and the Debian package that has it.
func qemuPrograms(arch string) (program, pkg string, ok bool) {
	switch arch {
	case "amd64":
		return "qemu-system-x86_64", "qemu-system-x86", true
	case "arm64":
		return "qemu-system-aarch64", "qemu-system-arm", true
	default:
		return "", "", false
	}
}

// findQEMU finds the emulator of an architecture's machines.
func findQEMU(ctx context.Context, arch string) (qemu, error) {
	program, pkg, ok := qemuPrograms(arch)
	if !ok {
		return qemu{}, fmt.Errorf("architecture %q: the lab boots amd64 and arm64", arch)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return qemu{}, fmt.Errorf("%w: install the package %s", err, pkg)
	}
	q := qemu{path: path, arch: arch, sandbox: true}
	// One that was built without seccomp refuses the option.
	out, err := exec.CommandContext(ctx, path, "-sandbox", sandboxOption, "-version").Output()
	if err != nil {
		q.sandbox = false
		out, err = exec.CommandContext(ctx, path, "-version").Output()
	}
	if err != nil {
		return qemu{}, fmt.Errorf("%s -version: %w", program, err)
	}
	q.sandbox = q.sandbox && hasSeccomp()
	q.full, q.major, err = parseQEMUVersion(string(out))
	return q, err
}

func parseQEMUVersion(out string) (full string, major int, err error) {
	line, _, _ := strings.Cut(out, "\n")
	m := regexp.MustCompile(`version ((\d+)\.\d+.*)`).FindStringSubmatch(line)
	if m == nil {
		return "", 0, fmt.Errorf("qemu version: cannot read %.80q", line)
	}
	major, err = strconv.Atoi(m[2])
	return strings.TrimSpace(m[1]), major, err
}

// hasSeccomp says whether this kernel lets a process filter its system calls.
func hasSeccomp() bool {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// hardware is the machine that QEMU is asked for. The descriptors are those
// of QEMU's own process.
type hardware struct {
	kernel  int  // descriptor of vmlinuz
	image   int  // of the initramfs
	console int  // of the pipe that takes the console
	disk    int  // of the disk's file, the next one being to read; 0 for none
	ram     int  // of the file that the guest's memory is in; 0 for one of QEMU's own
	payload int  // of the file that is the memory of a device, where there is ram
	monitor int  // of the control socket; 0 for none
	restore bool // wait for a state to go on from
	memory  int  // MiB
	cpus    int
	accel   Accel
	append  string // more kernel command line
}

// resultsPort is the guest's name for the serial port that carries the frames.
func resultsPort(arch string) string {
	if arch == "arm64" {
		return "/dev/ttyS0" // a PCI card; the console is the board's own ttyAMA0
	}
	return "/dev/ttyS1"
}

// guestArguments are every guest's. Attaching and detaching a probe waits for the
// kernel's grace periods, again and again: expedited ones halve that under emulation.
const guestArguments = "quiet panic=-1 rcupdate.rcu_expedited=1"

// args gives QEMU's arguments: the console on one serial port, the results on
// another, and standard input and output as the host's side of the latter. Serial
// ports because every kernel has them built in. (A pipe can be appended to, and not be
// truncated.)
func (q qemu) args(h hardware) []string {
	// Without ERMS and FSRM the kernel and Go copy memory by loops of wide moves. With them they
	// use rep movsb, which is emulated byte by byte: opening a tracer takes a fifth longer.
	machine, cpu, console := "q35", "max,-erms,-fsrm", "ttyS0"
	// On a busy host the kernel's test of its timer fails now and then, and it panics; and
	// it measures the frequency of its TSC wrong, after which its clock ran at five times
	// its speed (7.3). The HPET needs no measuring.
	arguments := guestArguments + " no_timer_check clocksource=hpet tsc=unstable"
	results := []string{"-serial", "chardev:results"}
	if q.arch == "arm64" {
		// "max" is three to four times slower to emulate than a real core.
		machine, cpu, console = "virt", "cortex-a72", "ttyAMA0"
		arguments = guestArguments // its timer has a known frequency
		results = []string{"-device", "pci-serial,chardev=results"}
	}
	if h.accel == KVM {
		cpu = "host"
	}
	if h.ram != 0 {
		machine += ",memory-backend=ram"
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
		"-machine", machine, "-accel", q.accelOption(h.accel), "-cpu", cpu,
		"-smp", strconv.Itoa(h.cpus), "-m", strconv.Itoa(h.memory),
		"-kernel", descriptorPath(h.kernel),
		"-append", strings.TrimSpace("console=" + console + " " + arguments + " " + h.append),
		"-add-fd", fmt.Sprintf("fd=%d,set=%d", h.console, consoleSet),
		"-chardev", "file,id=console,path=" + setPath(consoleSet) + ",append=on", "-serial", "chardev:console",
		"-chardev", "stdio,id=results,signal=off",
	}
	if h.accel == Counted {
		args = append(args, "-icount", "shift=1,sleep=on") // 2^shift ns; idle time passes as on the host
	}
	if h.image != 0 {
		args = append(args, "-initrd", descriptorPath(h.image))
	}
	args = append(args, q.snapshotArgs(h)...)
	if q.sandbox {
		args = append(args, "-sandbox", sandboxOption)
	}
	if h.disk != 0 {
		// What the guest flushed is in the file, whatever becomes of QEMU.
		args = append(args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", h.disk, diskSet),
			"-add-fd", fmt.Sprintf("fd=%d,set=%d", h.disk+1, diskSet),
			"-drive", "file="+setPath(diskSet)+",format=raw,if=none,id=disk,cache=writeback",
			"-device", "virtio-blk-pci,drive=disk")
	}
	return append(args, results...)
}

// snapshotArgs are those of a machine that is saved or restored. Its memory and its
// payload are in files that QEMU shares with us, and does not save.
func (q qemu) snapshotArgs(h hardware) (args []string) {
	if h.ram != 0 {
		file := func(id string, mib, fd int, share string) string {
			return fmt.Sprintf("memory-backend-file,id=%s,size=%dM,mem-path=%s,share=%s", id, mib, descriptorPath(fd), share)
		}
		// What is shared QEMU does not save. Of what is shared in the machine that is
		// restored it wants the addresses to be those that were saved, and a device has
		// none yet: hence not the payload.
		payload := "on"
		if h.restore {
			payload = "off"
		}
		args = append(args, "-object", file("ram", h.memory, h.ram, "on"),
			"-object", file("payload", payloadSize>>20, h.payload, payload), "-device", "ivshmem-plain,memdev=payload,master=on")
	}
	if h.monitor != 0 {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", h.monitor))
		args = append(args, q.monitorArgs()...)
	}
	if h.restore {
		args = append(args, "-incoming", "defer")
	}
	return args
}

// monitorArgs have the monitor speak QMP. QEMU 11 warns of the old way, which is the only one
// before it.
func (q qemu) monitorArgs() []string {
	if q.major >= 11 {
		return []string{"-object", "monitor-qmp,id=qmp,chardev=monitor"}
	}
	return []string{"-mon", "chardev=monitor,mode=control"}
}

// accelOption avoids the threads of QEMU before 10: with two CPUs they race
// with the kernel patching its own code, which is what attaching a probe
// does, and the guest oopses or hangs in about one run of ten.
func (q qemu) accelOption(accel Accel) string {
	switch {
	case accel == Counted: // which QEMU does in one thread
		return string(TCG)
	case accel == TCG && q.major < 10:
		return "tcg,thread=single"
	default:
		return string(accel)
	}
}

// Sets of descriptors that QEMU takes as they are, where it would open a path anew: it
// may not be allowed to.
const (
	consoleSet = 1
	diskSet    = 2
)

func setPath(set int) string { return "/dev/fdset/" + strconv.Itoa(set) }

// descriptorPath names an inherited descriptor as a file. QEMU's options treat
// commas in a path as their own; here is none.
func descriptorPath(fd int) string { return "/dev/fd/" + strconv.Itoa(fd) }

// canKVM says whether KVM could run such a guest at all.
func (q qemu) canKVM() bool { return q.arch == runtime.GOARCH }
