package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// bootable gives a machine with a kernel that is here, or skips the test,
// naming what is not.
func bootable(t *testing.T, series, arch string) Machine {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a kernel")
	}
	cache, err := CacheDir()
	if err != nil {
		t.Skip(err)
	}
	k, err := FindKernel(cache, series, arch)
	if err != nil {
		t.Skip(err)
	}
	if _, err := findQEMU(t.Context(), arch); err != nil {
		t.Skip(err)
	}
	if _, err := toolsRoot(t.Context(), cache, arch, os.Stderr); err != nil {
		t.Skip(err)
	}
	return Machine{Kernel: k, Timeout: await.Bound, NoModules: true, Cache: cache, Program: guests.program(t, arch)}
}

// quick is the machine that boots fastest.
func quick(t *testing.T) Machine {
	t.Helper()
	t.Parallel()
	return bootable(t, "6.1", runtime.GOARCH)
}

type outcome struct {
	status         int
	err            error
	stdout, stderr string
}

func (m Machine) try(t *testing.T, argv ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status, err := Run(t.Context(), m, argv, &stdout, &stderr)
	return outcome{status, err, stdout.String(), stderr.String()}
}

func (m Machine) sh(t *testing.T, script string) outcome {
	t.Helper()
	return m.try(t, "sh", "-c", script)
}

// TestHowCommandsEnd: guest's TestLookPath has more of what cannot be found.
func TestHowCommandsEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		argv   []string
		status int
		said   string // in the error; "" for none
	}{
		{"well", []string{"true"}, 0, ""},
		{"badly", []string{"sh", "-c", "exit 255"}, 255, ""},
		{"killed", []string{"sh", "-c", "kill -SEGV $$"}, 128 + 11, ""},
		{"not there", []string{"nosuch"}, 127, "nosuch"},
		{"not there by path", []string{"/nosuch/x"}, 127, "/nosuch/x: no such file"},
		{"a directory", []string{"/tmp"}, 126, "/tmp: permission denied"},
		{"not a program", []string{"/init/x"}, 127, "not a directory"},
		{"not there, by a name of 200 KB", []string{strings.Repeat("x", 200<<10)}, 127, "PATH"},
		{"an argument that exec refuses", []string{"echo", strings.Repeat("x", 200<<10)}, 126, "argument list too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := quick(t).try(t, c.argv...)
			if got.status != c.status {
				t.Errorf("status %d, want %d (%+.300v)", got.status, c.status, got.err)
			}
			if (got.err != nil) != (c.said != "") || c.said != "" && !strings.Contains(got.err.Error(), c.said) {
				t.Errorf("error %.300v, want %q", got.err, c.said)
			}
		})
	}
}

// TestStreamsArriveWhole: both outputs, and the input, whatever bytes it has and although nobody
// reads it at first.
func TestStreamsArriveWhole(t *testing.T) {
	m := quick(t)
	input := make([]byte, 200<<10) // every byte value: nothing may be translated
	for i := range input {
		input[i] = byte(i*7 + i>>8)
	}
	m.Stdin = bytes.NewReader(input)
	// The input begins before the command reads it, so that the window fills.
	got := m.sh(t, "seq 100000; seq 50000 >&2; sleep 1; cat")
	count := func(s string) int { return strings.Count(s, "\n") }
	lines, back, _ := strings.Cut(got.stdout, "\n100000\n")
	if got.err != nil || count(lines) != 99998 || count(got.stderr) != 50000 {
		t.Errorf("%d and %d lines, %v", count(lines), count(got.stderr), got.err)
	}
	if !strings.HasSuffix(lines, "\n99999") || !strings.HasSuffix(got.stderr, "\n50000\n") {
		t.Errorf("they end %q and %q", lines[max(0, len(lines)-40):], got.stderr[max(0, len(got.stderr)-40):])
	}
	if back != string(input) {
		t.Errorf("%d bytes of %d came back, and differ", len(back), len(input))
	}
}

func TestPanicIsNoPass(t *testing.T) {
	m := quick(t)
	got := m.sh(t, "echo c >/proc/sysrq-trigger")
	var crash *CrashError
	if !errors.As(got.err, &crash) || got.status != -1 {
		t.Fatalf("got %+v", got)
	}
	if !strings.Contains(crash.Reason, "sysrq triggered crash") || !strings.Contains(crash.Console, "Call Trace") && !strings.Contains(crash.Console, "RIP") {
		t.Errorf("got %v", crash)
	}
}

func TestRestartIsNoPass(t *testing.T) {
	m := quick(t)
	got := m.try(t, "reboot", "-f")
	var crash *CrashError
	if !errors.As(got.err, &crash) || got.status != -1 {
		t.Errorf("got %+v", got)
	}
}

// TestHangEndsInTime: where the kernel had not booted by then, more time is allowed.
func TestHangEndsInTime(t *testing.T) {
	m := quick(t)
	for m.Timeout = 20 * time.Second; ; m.Timeout *= 2 {
		begun := time.Now()
		got := m.sh(t, "echo begun; sleep 1000")
		if took := time.Since(begun); took > 2*m.Timeout {
			t.Errorf("took %v of %v", took, m.Timeout)
		}
		if !errors.Is(got.err, context.DeadlineExceeded) || got.status != -1 {
			t.Fatalf("got %+v", got)
		}
		if got.stdout == "begun\n" {
			return
		}
		if got.stdout != "" || m.Timeout > 10*time.Minute {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestCancelEndsTheMachine(t *testing.T) {
	m := quick(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The output is the signal that the command runs.
	status, err := Run(ctx, m, []string{"sh", "-c", "echo runs; sleep 1000"}, onWrite(cancel), &bytes.Buffer{})
	if !errors.Is(err, context.Canceled) || status != -1 {
		t.Errorf("got %d, %v", status, err)
	}
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestKernelThatDoesNotBoot(t *testing.T) {
	m := quick(t)
	m.Append = "init=/nosuch rdinit=/nosuch"
	got := m.try(t, "true")
	var crash *CrashError
	if !errors.As(got.err, &crash) || !strings.Contains(crash.Reason, "panic") {
		t.Errorf("got %+v", got)
	}
	m.Append = ""
	m.Kernel.Image = filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(m.Kernel.Image, []byte("no kernel at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got = m.try(t, "true"); !errors.As(got.err, &crash) || !strings.Contains(crash.Reason, "qemu") {
		t.Errorf("a text file as kernel: %+v", got)
	}
}

// TestFilesGoAndCome, and what else a command has from the host and leaves: a program's libraries,
// variables, input that nobody reads, and orphans, of whom the first end while the command runs
// and the last outlives it.
func TestFilesGoAndCome(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	m := quick(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "a b,c"), []byte("from the host"), 0o640); err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(t.TempDir(), "not", "yet")
	m.Files = []File{
		{Host: host, Guest: "/deep/in/guest"}, {Host: host, Guest: "/tmp/made"},
		{Host: bash, Guest: "/usr/local/bin/bash", Programs: true},
	}
	m.Bring = []Bring{{Guest: "/tmp/made", Directory: back}, {Guest: "/proc/version", Directory: back}, {Guest: "/nosuch", Directory: back}}
	m.Dir = "/made/for/it"
	m.Env = []string{"GREETING=a b"}
	m.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	got := m.sh(t, `pwd; mkdir -p /tmp/made/sub; cp "/deep/in/guest/a b,c" /tmp/made/sub/; mkfifo /tmp/made/pipe
		bash -c 'test -n "$BASH_VERSION" && echo "${GREETING^^}"'
		for i in 1 2 3 4 5 6 7 8; do (sleep 0.2 &); done; (sleep 1000 &)
		sleep 1; ps -o stat,comm | grep -c "^Z"
		su user -c "touch /tmp/user" && test -k /tmp && exit 5`)
	if want := "/made/for/it\nA B\n0\n"; got.status != 5 || got.stdout != want {
		t.Errorf("got %+v, want %q", got, want)
	}
	if got.err == nil || !strings.Contains(got.err.Error(), "/nosuch: no such file") {
		t.Errorf("of what is not there: %v", got.err)
	}
	if data, err := os.ReadFile(filepath.Join(back, "made", "sub", "a b,c")); string(data) != "from the host" {
		t.Errorf("came back %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(back, "made", "a b,c")); string(data) != "from the host" {
		t.Errorf("added below /tmp came back %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(back, "version")); !strings.Contains(string(data), m.Kernel.Release) {
		t.Errorf("/proc/version came back as %q, %v", data, err)
	}
}

func TestTerminal(t *testing.T) {
	m := quick(t)
	m.Terminal = &guest.Size{Rows: 33, Columns: 99}
	m.Stdin = strings.NewReader("typed\n")
	got := m.sh(t, "tty; stty size; read x; echo got $x")
	for _, want := range []string{"/dev/pts/0\r\n", "33 99\r\n", "got typed\r\n"} { // the echo comes between any two
		if got.err != nil || !strings.Contains(got.stdout, want) {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
}

func TestBadMachines(t *testing.T) {
	k := Kernel{Release: "6.1", Arch: runtime.GOARCH, Image: "/nosuch"}
	file := filepath.Join(t.TempDir(), "file")
	for name, m := range map[string]Machine{
		"negative memory":          {Kernel: k, Memory: -1},
		"relative directory":       {Kernel: k, Dir: "x"},
		"relative path to bring":   {Kernel: k, Bring: []Bring{{Guest: "x"}}},
		"unknown architecture":     {Kernel: Kernel{Arch: "vax"}},
		"no such file to add":      {Kernel: k, Accel: TCG, Bare: true, Files: []File{{Host: "/nosuch", Guest: "/x"}}},
		"relative path to add":     {Kernel: k, Accel: TCG, Bare: true, Files: []File{{Host: "/etc/passwd", Guest: "x"}}},
		"a path that is covered":   {Kernel: k, Accel: TCG, Bare: true, Files: []File{{Host: "/etc/passwd", Guest: "/tmp/../sys//x"}}},
		"a path that is the lab's": {Kernel: k, Accel: TCG, Bare: true, Files: []File{{Host: "/etc/passwd", Guest: "/init"}}},
		"console in a file's path": {Kernel: k, Accel: TCG, Bare: true, Console: filepath.Join(file, "x")},
	} {
		m.Cache = t.TempDir()
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		got := m.try(t, "true")
		if got.err == nil || got.status != -1 || strings.Contains(got.err.Error(), "\n") {
			t.Errorf("%s: status %d, error %v", name, got.status, got.err)
		}
	}
	for _, argv := range [][]string{nil, {""}} {
		if got := (Machine{Kernel: k}).try(t, argv...); got.err == nil {
			t.Errorf("command %q: no error", argv)
		}
	}
}

// TestDiskStays: what the guest writes to its disk is there afterwards, and no more than
// fits.
func TestDiskStays(t *testing.T) {
	t.Parallel()
	m := bootable(t, "6.12", runtime.GOARCH)
	m.NoModules = false
	m.Disk = filepath.Join(t.TempDir(), "a,b disk")
	if err := os.WriteFile(m.Disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	got := m.sh(t, "modprobe virtio_blk && echo written >/dev/vda && dd if=/dev/zero of=/dev/vda bs=64k seek=15 count=10 2>/dev/null; sync")
	text, err := os.ReadFile(m.Disk)
	if got.err != nil || err != nil || len(text) != 1<<20 || !strings.HasPrefix(string(text), "written\n") {
		t.Errorf("%+v, %v, %d bytes that begin %.20q", got, err, len(text), text)
	}
}
