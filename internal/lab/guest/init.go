// Package guest is the inside of the lab's virtual machine: its first process,
// and the protocol that it speaks with the host.
//
// The kmodtrace binary is itself the guest's init. It mounts what a command
// expects of a running system, runs the one command that the image names,
// streams what that prints, reaps every orphan meanwhile, brings files back and
// powers the machine off.
package guest

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// IsInit says whether this process is the first one of a guest of the lab, or the agent
// that the guest's systemd starts.
func IsInit() bool {
	switch os.Args[0] {
	case InitPath:
		return os.Getpid() == 1
	case AgentPath:
		return os.Getppid() == 1
	}
	return false
}

// Init is the guest's whole life. It never returns: it ends by powering the machine
// off, and the host judges the run by the frames that arrived until then.
//
// Where the task names another init it becomes that, and is started once more by it, as
// the agent. That powers off as roughly: all of the machine is in memory.
func Init() {
	if err := live(); err != nil {
		// Only the console can still carry this.
		fmt.Fprintf(os.Stderr, "lab: init: %v\n", err)
	}
	powerOff()
}

func live() error {
	// A fatal signal sent to pid 1 would end the Go runtime, and with it the
	// kernel. Notify, unlike Ignore, is not inherited by the command.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM)
	task, err := readTask()
	if err != nil {
		return err
	}
	if task.Init == "" {
		if err := mountAll(); err != nil {
			return err
		}
	} else if os.Getpid() == 1 {
		return become(task.Init)
	}
	port, err := openPort(task.Port)
	if err != nil {
		return err
	}
	frames := NewWriter(port)
	restored := task.Wait
	if restored {
		if err := prepare(task); err != nil {
			return err
		}
		if task, err = wait(port, frames); err != nil {
			return err
		}
	}
	if err := frames.Open(); err != nil {
		return fmt.Errorf("results port %s: %w", task.Port, err)
	}
	status := ExitStatus{Status: statusNotStarted}
	if err := settle(task, restored); err != nil {
		err = fmt.Errorf("set the guest up: %w", err)
		if err := frames.trouble(err); err != nil {
			return err
		}
	} else if status, err = serve(task, port, frames); err != nil {
		return err
	}
	return finish(task, status, port, frames)
}

// become makes this process another init. What the kernel unpacked cannot be the old
// side of a pivot_root, which systemd wants for the services that it shuts in; a bind of
// it over itself can.
func become(init string) error {
	if err := placeModules(); err != nil {
		return err
	}
	const root = "/lab/root"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return fmt.Errorf("become %s: %w", init, unix.Exec(init, []string{init}, os.Environ()))
}

// finish brings the files back and says how it all ended.
func finish(task Task, status ExitStatus, port *os.File, frames *Writer) error {
	if len(task.Bring) > 0 {
		if err := bring(task.Bring, frames); err != nil {
			return err
		}
	}
	if err := frames.WriteJSON(Exit, status); err != nil {
		return err
	}
	if err := frames.Write(Done, nil); err != nil {
		return err
	}
	return drainPort(port)
}

// settle does what an ordinary system has done before a user logs in.
func settle(task Task, prepared bool) error {
	if task.Init == "" && !prepared {
		if err := prepare(task); err != nil {
			return err
		}
	}
	return os.MkdirAll(task.Dir, 0o755)
}

// prepare is the part of it that is the same for all commands.
func prepare(task Task) error {
	if err := linkDevices(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(task.Hostname)); err != nil {
		return fmt.Errorf("host name %q: %w", task.Hostname, err)
	}
	if err := raiseLimits(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	return placeTools()
}

// raiseLimits lets the command lock memory (5.10 accounts BPF maps to
// RLIMIT_MEMLOCK) and open many files.
func raiseLimits() error {
	limits := map[int]uint64{unix.RLIMIT_MEMLOCK: unix.RLIM_INFINITY, unix.RLIMIT_NOFILE: 65536}
	for resource, value := range limits {
		// syscall, not unix: it also keeps the Go runtime from putting its own
		// idea of RLIMIT_NOFILE back before the command starts.
		limit := syscall.Rlimit{Cur: value, Max: value}
		if err := syscall.Setrlimit(resource, &limit); err != nil {
			return fmt.Errorf("resource limit %d: %w", resource, err)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

func powerOff() {
	for {
		// A machine without a power switch restarts instead, which QEMU's
		// -no-reboot turns into an exit.
		if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
			fmt.Fprintf(os.Stderr, "lab: power off: %v\n", err)
		}
		time.Sleep(time.Second)
	}
}
