package lab

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

const fakePrefix = "fake-qemu-"

// fakeQEMU is what a QEMU does whose guest owns it: descriptor 1 is the results port, and
// 5 the console.
func fakeQEMU(what string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	frames := guest.NewWriter(os.Stdout)
	all := func(err error) {
		if err != nil {
			os.Exit(9)
		}
	}
	forever := func(do func() error) {
		for {
			all(do())
		}
	}
	sleep := func() { time.Sleep(time.Hour) }
	if what != "silent" && what != "noise" {
		all(frames.Open())
		all(frames.Write(guest.Started, nil))
	}
	frame := func(kind guest.Kind, payload []byte) func() error {
		return func() error { return frames.Write(kind, payload) }
	}
	full := bytes.Repeat([]byte("x"), guest.MaxPayload)
	exit := frame(guest.Exit, []byte(`{"Status":0}`))
	switch what {
	case "well":
		info, _ := os.Stat("/")
		_, shadow := os.Open("/etc/shadow")
		var size, core unix.Rlimit
		all(errors.Join(unix.Getrlimit(unix.RLIMIT_FSIZE, &size), unix.Getrlimit(unix.RLIMIT_CORE, &core)))
		dir, _ := os.Getwd()
		image, imageErr := os.ReadFile("/dev/fd/4")
		_, writeErr := os.OpenFile("/dev/fd/4", os.O_WRONLY, 0)
		all(frames.Write(guest.Stdout, fmt.Appendf(nil, "root %t, shadow %t, file size %d, core %d, %s, secret %q, image %q %v, written %t %t",
			os.Geteuid() == 0, shadow == nil, size.Cur, core.Cur, dir, os.Getenv("AWS_SECRET_ACCESS_KEY"), image, imageErr, writeErr == nil, info == nil)))
		all(exit())
		all(frames.Write(guest.Done, nil))
	case "silent":
		sleep()
	case "noise":
		forever(func() error { _, err := os.Stdout.Write(full); return err })
	case "garbage":
		forever(func() error { _, err := os.Stdout.Write(full); return err })
	case "output":
		forever(frame(guest.Stdout, full))
	case "nothing": // but empty frames
		forever(frame(guest.Stderr, nil))
	case "trouble":
		forever(frame(guest.Trouble, full))
	case "notes":
		forever(frame(guest.Note, full))
	case "credit":
		forever(frame(guest.Credit, []byte{0, 64, 0, 0}))
	case "no-credit": // for endless input
		_, _ = io.Copy(io.Discard, os.Stdin)
		sleep()
	case "files":
		forever(frame(guest.Files, full))
	case "no-done":
		all(exit())
		sleep()
	case "half-a-frame":
		_, err := os.Stdout.Write([]byte{0x9e, 1, 0xff, 0x7f})
		all(err)
		sleep()
	case "no-end": // says that all is well, and goes on
		all(exit())
		all(frames.Write(guest.Done, nil))
		forever(frame(guest.Stdout, full))
	case "signal": // whose command ends by one
		port := guest.NewReader(os.Stdin)
		for {
			f, err := port.Next()
			all(err)
			if f.Kind == guest.Signal {
				n, err := f.Uint()
				all(errors.Join(err, frames.Write(guest.Stdout, fmt.Append(nil, "stacks")),
					frames.WriteJSON(guest.Exit, guest.ExitStatus{Status: 128 + int(n), Signal: int(n)}), frames.Write(guest.Done, nil)))
				return
			}
		}
	case "console":
		console := os.NewFile(5, "console")
		forever(func() error { _, err := console.Write(full); return err })
	case "complaints":
		forever(func() error { _, err := os.Stderr.Write(full); return err })
	case "children", "orphans": // who keep all that is open
		child := exec.Command("/bin/sleep", "3600")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.ExtraFiles = []*os.File{os.NewFile(5, "console")}
		all(child.Start())
		all(frames.Write(guest.Stdout, fmt.Append(nil, child.Process.Pid)))
		if what == "children" {
			sleep()
		}
	default:
		os.Exit(8)
	}
}

// fakeMachine gives a machine without a kernel, and the QEMU that plays its guest.
func fakeMachine(t *testing.T, what string) (Machine, qemu, *os.File) {
	t.Helper()
	// The user that QEMU runs as cannot enter the directories of a test, or of go test.
	dir, err := os.MkdirTemp("", "kmodtrace-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path, kernel := filepath.Join(dir, fakePrefix+what), filepath.Join(dir, "vmlinuz")
	if out, err := exec.Command("cp", self, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image, err := namelessFile("kmodtrace-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	if _, err := image.WriteString("image"); err != nil {
		t.Fatal(err)
	}
	if err := errors_(os.Chmod(dir, 0o755), os.Chmod(path, 0o755), os.WriteFile(kernel, []byte("kernel"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: Kernel{Release: "6.99", Image: kernel, Arch: runtime.GOARCH}, CPUs: 1, Memory: 1, Accel: TCG}
	return m, qemu{path: path, arch: runtime.GOARCH, sandbox: true}, image
}

// TestHostileGuestEnds: within the time that it is given, and a bounded memory.
func TestHostileGuestEnds(t *testing.T) {
	for _, what := range []string{"silent", "noise", "garbage", "output", "nothing", "trouble", "notes", "credit", "no-credit",
		"files", "no-done", "half-a-frame", "console", "complaints", "children", "orphans"} {
		for _, by := range []string{"time-out", "cancel"} {
			t.Run(what+"/"+by, func(t *testing.T) {
				t.Parallel()
				m, q, image := fakeMachine(t, what)
				dir := t.TempDir()
				m.Bring = []Bring{{Guest: "/tmp/a", Directory: dir}}
				m.Console = filepath.Join(dir, "console")
				m.Stdin = endless{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var stdout sink
				forks := what == "children" || what == "orphans"
				switch {
				case by == "time-out":
					m.Timeout = 500 * time.Millisecond
				case forks: // once it has
					stdout.then = cancel
				default:
					time.AfterFunc(500*time.Millisecond, cancel)
				}
				r := report{status: guest.ExitStatus{Status: -1}}
				if err := ends(t, func() error { return m.live(ctx, q, supply{image: image}, &r, &stdout, io.Discard) }); err == nil || r.status.Status != -1 {
					t.Errorf("status %d, error %v", r.status.Status, err)
				} else if len(err.Error()) > 64<<10 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				if names := found(t, dir); len(names) != 1 {
					t.Errorf("left: %q", names)
				}
				if info, err := os.Stat(m.Console); err != nil || info.Size() > consoleMost+1000 {
					t.Errorf("the console's file: %v, %v", info, err)
				}
				if pid := stdout.first(); forks && pid != "" {
					gone(t, pid)
				} else if forks && by == "cancel" {
					t.Error("it has not forked")
				}
			})
		}
	}
	t.Cleanup(func() {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		if s.HeapSys > 1<<30 {
			t.Errorf("%d MiB of memory were taken", s.HeapSys>>20)
		}
	})
}

// endless is standard input without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// sink remembers the first thing that is written to it.
type sink struct {
	text atomic.Pointer[string]
	then func() // called then
}

func (s *sink) Write(p []byte) (int, error) {
	text := string(p[:min(len(p), 100)])
	if s.text.CompareAndSwap(nil, &text) && s.then != nil {
		s.then()
	}
	return len(p), nil
}

func (s *sink) first() string {
	if text := s.text.Load(); text != nil {
		return *text
	}
	return ""
}

// ends waits for run, far longer than it may take.
func ends(t *testing.T, run func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(await.Bound):
		t.Fatal("it does not end")
		return nil
	}
}

// gone waits until a process has ended.
func gone(t *testing.T, pid string) {
	t.Helper()
	await.Until(t, "process "+pid+" ends", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// TestGuestThatDoesNotGo: it said that all is well, and its QEMU does not end: the time
// that is given holds for that too.
func TestGuestThatDoesNotGo(t *testing.T) {
	m, q, image := fakeMachine(t, "no-end")
	m.Timeout = time.Second
	r := report{status: guest.ExitStatus{Status: -1}}
	err := ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &r, io.Discard, io.Discard) })
	if err != nil || r.status.Status != 0 {
		t.Errorf("status %d, error %v", r.status.Status, err)
	}
}

// TestOutputThatNobodyTakes: the run ends although whoever reads its output does not.
func TestOutputThatNobodyTakes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	m, q, image := fakeMachine(t, "output")
	m.Timeout = time.Second
	got := report{status: guest.ExitStatus{Status: -1}}
	err = ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &got, w, w) })
	if !errors.Is(err, context.DeadlineExceeded) || got.status.Status != -1 {
		t.Errorf("status %d, error %v", got.status.Status, err)
	}
}

// TestWhatQEMUMayDo: one that its guest has taken over finds little.
func TestWhatQEMUMayDo(t *testing.T) {
	m, q, image := fakeMachine(t, "well")
	m.Disk = filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(m.Disk, make([]byte, 12345), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	var stdout, notes bytes.Buffer
	m.Progress = &notes
	var r report
	if err := m.live(t.Context(), q, supply{image: image}, &r, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	const want = `root false, shadow false, file size 12800, core 0, /, secret "", image "image" <nil>, written false false`
	if got := stdout.String(); got != want || notes.Len() > 0 {
		t.Errorf("got %s\nwant %s\nnotes %s", got, want, &notes)
	}
}

func TestQEMUUsers(t *testing.T) {
	if users, err := qemuUsers(1000, TCG); len(users) > 0 || err != nil {
		t.Errorf("of a user who is not root: %v, %v", users, err)
	}
	users, err := qemuUsers(0, TCG)
	if len(users) != 2 || err != nil || users[0].Uid < unusedUser || users[0].Uid >= 100_000 || users[1].Uid != nobody {
		t.Errorf("of root: %v, %v", users, err)
	}
}

// TestWeakerQEMU: that QEMU may do more than it needs is said, before a guest is there.
func TestWeakerQEMU(t *testing.T) {
	m, q, image := fakeMachine(t, "silent")
	m.Timeout = 100 * time.Millisecond
	q.sandbox = false
	var said bytes.Buffer
	m.Progress = &said
	want := []string{"note: QEMU runs without its sandbox"}
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Dir(q.path), 0o700); err != nil {
			t.Fatal(err)
		}
		want = append(want, "note: QEMU runs as root: only some users may enter or run "+filepath.Dir(q.path))
	}
	r := report{status: guest.ExitStatus{Status: -1}}
	if err := ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &r, io.Discard, io.Discard) }); err == nil {
		t.Error("it ended without an error")
	}
	for _, note := range want {
		if !strings.Contains(said.String(), note) {
			t.Errorf("it said %q, want %q", said.String(), note)
		}
	}
}

// hostileTime is how long a hostile program goes on once it has begun: its guest computes all
// the time. KMODTRACE_HOSTILE is another one, as in 1m.
func hostileTime(t *testing.T) time.Duration {
	t.Helper()
	text := cmp.Or(os.Getenv("KMODTRACE_HOSTILE"), "2s")
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hostileProgram is what a hostile module does in a guest, where it owns the ports. It begins
// when the host has heard of it, which is when its input ends.
func hostileProgram(what string) {
	fmt.Println("begun")
	_, _ = io.Copy(io.Discard, os.Stdin)
	port, err := os.OpenFile(resultsPort(runtime.GOARCH), os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	frames := guest.NewWriter(port)
	send := func(kind guest.Kind, payload []byte) {
		if err := frames.Write(kind, payload); err != nil {
			os.Exit(4)
		}
	}
	full := bytes.Repeat([]byte("x"), guest.MaxPayload)
	switch what {
	case "noise":
		for {
			_, _ = port.Write(full)
		}
	case "trouble":
		for {
			send(guest.Trouble, full)
		}
	case "escape":
		send(guest.Files, gitHook())
		send(guest.Exit, []byte(`{"Status":0}`))
		send(guest.Done, nil)
		time.Sleep(time.Hour)
	case "kernel": // prints without end, and without the limit that a kernel has for programs
		if err := os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0); err != nil {
			os.Exit(6)
		}
		kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
		if err != nil {
			os.Exit(5)
		}
		for {
			_, _ = kmsg.Write([]byte("<1>" + strings.Repeat("y", 900)))
		}
	}
}

// gitHook is an archive with a file that nobody asked for.
func gitHook() []byte {
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	archive := tar.NewWriter(packed)
	_ = archive.WriteHeader(&tar.Header{Name: "0/.git/hooks/pre-commit", Mode: 0o755})
	_ = archive.Close()
	_ = packed.Close()
	return out.Bytes()
}

// TestHostileGuest: a program in a real guest that is as hostile as it can be harms nothing
// here, and ends when it is to.
func TestHostileGuest(t *testing.T) {
	limit := hostileTime(t)
	wants := map[string]string{
		"noise": "", "trouble": context.Canceled.Error(), "escape": "/tmp/a was asked for", "kernel": context.Canceled.Error(),
	}
	for what := range wants {
		t.Run(what, func(t *testing.T) {
			m := quick(t)
			dir := t.TempDir()
			m.Bring = []Bring{{Guest: "/tmp/a", Directory: dir}}
			m.Console = filepath.Join(dir, "console")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begun := make(chan struct{})
			m.Stdin = readFunc(func([]byte) (int, error) {
				select {
				case <-begun:
				case <-ctx.Done():
				}
				return 0, io.EOF
			})
			stdout := sink{then: func() {
				close(begun)
				if what != "escape" { // which ends by what the program sends
					go func() {
						for what == "kernel" && !printed(m.Console) && ctx.Err() == nil {
							time.Sleep(100 * time.Millisecond)
						}
						time.AfterFunc(limit, cancel)
					}()
				}
			}}
			got := -1
			err := ends(t, func() (err error) {
				got, err = Run(ctx, m, []string{kmodtracePath, "hostile", what}, &stdout, io.Discard)
				return err
			})
			if stdout.first() == "" {
				t.Errorf("it has not begun: %v", err)
			}
			if err == nil {
				t.Errorf("status %d and no error", got)
			}
			t.Logf("%.300v", err)
			if want := wants[what]; err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if names := found(t, dir); len(names) != 1 {
				t.Errorf("left: %q", names)
			}
		})
	}
}

// printed says whether the hostile program's kernel has begun to print.
func printed(console string) bool {
	text, err := os.ReadFile(console)
	return err == nil && bytes.Contains(text, []byte("yyyyyyyyyy"))
}
