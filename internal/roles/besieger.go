package roles

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// besieger WAY ARGUMENT… makes as many attempts as it can, until its process group gets
// SIGTERM. It prints a line when it has made the first, and at the end how many it made. It needs no privilege:
//
//	calls FD    makes system calls that are refused, with FD where they want a file
//	aliases     asks for hash algorithms, of a random name each, by AF_ALG
//	mounts      becomes root of a user namespace, and there mounts file systems of random types
func besieger(args []string) error {
	if args[0] == "mounts" && os.Getenv(inNamespace) == "" {
		return intoNamespace(args)
	}
	attempt, ok := map[string]func() error{"calls": refusedCall, "aliases": askForHash, "mounts": mountRandom}[args[0]]
	if !ok {
		return fmt.Errorf("besieger: no way %q", args[0])
	}
	var made atomic.Int64
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	failed := make(chan error, besiegers)
	if err := attempt(); err != nil {
		return err
	}
	made.Add(1)
	fmt.Println("begun")
	var ended atomic.Bool
	var group sync.WaitGroup
	for range besiegers {
		group.Go(func() {
			for !ended.Load() {
				if err := attempt(); err != nil {
					failed <- err
					return
				}
				made.Add(1)
			}
		})
	}
	select {
	case <-stop:
	case err := <-failed:
		return err
	}
	ended.Store(true)
	group.Wait()
	fmt.Println(made.Load())
	return nil
}

// besiegers is how many threads of one besieger make attempts.
const besiegers = 4

// inNamespace marks the besieger that is root of its own user namespace.
const inNamespace = "KMODTRACE_BESIEGER_IN_NAMESPACE"

func intoNamespace(args []string) error {
	cmd := command(append([]string{"/proc/self/exe"}, args...))
	cmd.Args[0] = Path("besieger")
	cmd.Env = append(os.Environ(), inNamespace+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	// The signal is for the child too, which is in the same process group.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM)
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	return err
}

// longName is nearly as long as a request can be (MODULE_NAME_LEN, with a prefix as "crypto-"),
// and another each time.
func longName() string { return (rand.Text() + rand.Text())[:44] }

// refusedCall makes each of the three system calls, under another name of its thread.
func refusedCall() error {
	fd, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	text := strings.Repeat(longName(), 90) // nearly a page
	var thread [16]byte
	copy(thread[:15], longName())
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&thread)), 0, 0, 0)
	for _, err := range []error{
		unix.FinitModule(fd, text, 0), unix.InitModule([]byte(text), text), unix.DeleteModule(longName(), unix.O_NONBLOCK),
	} {
		if !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("got %v, want %w", err, unix.EPERM)
		}
	}
	return nil
}

// CallsAtOnce is how many system calls one attempt of "besieger calls" is.
const CallsAtOnce = 3

func askForHash() error {
	fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrALG{Type: "hash", Name: longName()}); !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("ask for a hash of a random name: got %v, want %w", err, unix.ENOENT)
	}
	return nil
}

func mountRandom() error {
	if err := unix.Mount("none", "/tmp", longName(), 0, ""); !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("mount a file system of a random type: got %v, want %w", err, unix.ENODEV)
	}
	return nil
}

// Deep gives a command that runs another below so many shells, for a long line of
// ancestors.
func Deep(shells int, argv ...string) []string {
	for range shells {
		argv = append([]string{"/bin/sh", "-c", `"$@"; :`, "sh"}, argv...) // the second command keeps the shell
	}
	return argv
}

// LongPath makes a program of these roles below dir whose path is as long as the system
// takes, and gives it.
func LongPath(dir, name string) (string, error) {
	part := strings.Repeat("d", 250)
	for len(dir)+len(part)+len(name)+2 < unix.PathMax {
		dir = filepath.Join(dir, part)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.Link(Path(program), path)
}
