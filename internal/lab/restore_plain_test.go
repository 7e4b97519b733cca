//go:build !race

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guestFacts is what a restored guest must not have in common with others, or with the
// time when it was saved.
const guestFacts = `date +%s; cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; echo; echo $$; wc -l </proc/modules; cat`

// checkFacts gives what has to differ between any two runs.
func checkFacts(t *testing.T, o outcome, from, to time.Time, input string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if o.err != nil || o.status != 0 || o.stderr != "" || len(lines) != 6 {
		t.Fatalf("%+v", o)
	}
	if seconds, err := strconv.ParseInt(lines[0], 10, 64); err != nil || seconds < from.Unix() || seconds > to.Unix() {
		t.Errorf("the guest's clock says %s, between %d and %d here", lines[0], from.Unix(), to.Unix())
	}
	if pid, err := strconv.Atoi(lines[3]); err != nil || pid < 2 || pid > 1<<15 {
		t.Errorf("process id %s", lines[3])
	}
	if lines[4] != "0" || lines[5] != input {
		t.Errorf("modules: %s; standard input: %q, want %q", lines[4], lines[5], input)
	}
	return lines[1:3]
}

// TestRestore: each supported kernel boots, for its snapshot; a run that goes on from that has what
// a command expects, and loads modules; two runs at once have the time, randomness of their own,
// their files and their input. KMODTRACE_TIMES says how often; without it once.
func TestRestore(t *testing.T) {
	kernels := map[string][]string{
		"amd64": {"5.10", "6.1", "6.12", "7.2", Newest},
		"arm64": {"6.1", "6.12", Newest},
	}
	times := 1
	if text := os.Getenv("KMODTRACE_TIMES"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, series := range kernels[arch] {
			t.Run(arch+"/"+series, func(t *testing.T) {
				m := bootable(t, series, arch)
				m.Accel, m.NoModules = TCG, false
				got, r, said := m.restored(t, "sh", "-c", bootedScript)
				checkBooted(t, m, got)
				if !r.restored {
					t.Fatalf("it booted: %s", said)
				}
				seen := newSeen()
				var both sync.WaitGroup
				for worker := range 2 {
					both.Go(func() {
						for n := range times {
							restoreOnce(t, m, seen, fmt.Sprintf("run %d of %d", n, worker))
						}
					})
				}
				both.Wait()
			})
		}
	}
}

// TestBoot: a machine that does not go on from a snapshot is as one that does.
func TestBoot(t *testing.T) {
	for arch, series := range map[string]string{"amd64": Newest, "arm64": "6.12"} {
		t.Run(arch+"/"+series, func(t *testing.T) {
			t.Parallel()
			m := bootable(t, series, arch)
			m.NoModules, m.Boot = false, true
			checkBooted(t, m, m.sh(t, bootedScript))
		})
	}
}

// bootedScript says what a command finds in a guest, and loads a module.
const bootedScript = `set -e
	uname -r; id -u; ulimit -l
	for d in /proc /sys /dev /dev/pts /sys/kernel/tracing /sys/kernel/debug /sys/kernel/security /sys/fs/bpf /sys/fs/cgroup; do
		grep -q " $d " /proc/mounts || echo "$d is not mounted"
	done
	test -e /sys/kernel/btf/vmlinux || echo "no BTF"
	test "$(cat /sys/class/net/lo/flags)" = 0x9 || echo "loopback is down"
	test -z "$(cat /proc/modules)" || echo "modules before any was asked for"
	readlink -f "$(command -v modprobe)"
	modprobe dummy
	lsmod | cut -d" " -f1
	echo done >/dev/stdout`

func checkBooted(t *testing.T, m Machine, got outcome) {
	t.Helper()
	want := m.Kernel.Release + "\n0\nunlimited\n/usr/bin/kmod\nModule\ndummy\ndone\n"
	if got.err != nil || got.status != 0 || got.stdout != want || got.stderr != "" {
		t.Errorf("got %+v\nwant stdout %q", got, want)
	}
}

type seen struct {
	mu   sync.Mutex
	what map[string]string
}

func newSeen() *seen { return &seen{what: make(map[string]string)} }

// restoreOnce runs one command that must go on from a snapshot.
func restoreOnce(t *testing.T, m Machine, s *seen, input string) {
	m.Stdin = strings.NewReader(input)
	from := time.Now()
	got, r, said := m.restored(t, "sh", "-c", guestFacts)
	if !r.restored || said != "" {
		t.Errorf("%s: restored: %v; it said %q", input, r.restored, said)
	}
	for _, fact := range checkFacts(t, got, from, time.Now(), input) {
		s.mu.Lock()
		if other, ok := s.what[fact]; ok {
			t.Errorf("%s has the random bytes of %s: %s", input, other, fact)
		}
		s.what[fact] = input
		s.mu.Unlock()
	}
}

// TestRestoreBadDays: whatever is wrong with a snapshot, the command runs, once.
func TestRestoreBadDays(t *testing.T) {
	const script = "cat; echo ran"
	run := func(t *testing.T, m Machine) (r report, said string) {
		t.Helper()
		m.Stdin = strings.NewReader("input ")
		got, r, said := m.restored(t, "sh", "-c", script)
		if got.err != nil || got.status != 0 || got.stdout != "input ran\n" || got.stderr != "" {
			t.Errorf("%+v; it said %s", got, said)
		}
		return r, said
	}
	// rewrite changes a snapshot, whose sum is right afterwards.
	rewrite := func(t *testing.T, dir, file string, change func([]byte) []byte) {
		t.Helper()
		index := filepath.Join(dir, indexFile)
		var x snapshotIndex
		var sum uint32
		text, err := os.ReadFile(index)
		if err == nil {
			err = json.Unmarshal(text, &x)
		}
		for _, name := range []string{memoryFile, stateFile} {
			var content []byte
			if err == nil {
				content, err = os.ReadFile(filepath.Join(dir, name))
			}
			if err == nil && name == file {
				content = change(content)
				err = os.WriteFile(filepath.Join(dir, name), content, 0o644)
			}
			sum = crc32.Update(sum, castagnoli(), content)
			if name == stateFile {
				x.State = int64(len(content))
			}
		}
		x.Sum = sum
		if err == nil {
			text, err = json.Marshal(x)
		}
		if err = errors.Join(err, os.WriteFile(index, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	one := func(t *testing.T, m Machine) string {
		t.Helper()
		dirs := m.snapshots(t)
		if len(dirs) != 1 {
			t.Fatalf("snapshots: %q", dirs)
		}
		return dirs[0]
	}
	m := emptyCache(t, quick(t))
	t.Run("half a file", func(t *testing.T) {
		q, err := findQEMU(t.Context(), m.Kernel.Arch)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := m.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		b, err := whole.newBase(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		memory, _ := savedMemory(t)
		if err := errors.Join(os.MkdirAll(b.dir(), 0o755), writeSnapshot(b.dir(), memory, []byte("state"))); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(one(t, m), memoryFile), extentUnit); err != nil {
			t.Fatal(err)
		}
		if r, said := run(t, m); !r.restored || !strings.Contains(said, "making it anew") {
			t.Errorf("restored: %v; it said %s", r.restored, said)
		}
	})
	t.Run("a state that QEMU refuses", func(t *testing.T) {
		rewrite(t, one(t, m), stateFile, func(b []byte) []byte { return b[:len(b)/2] })
		limited := m
		limited.startLimit = 5 * time.Second // QEMU waits for the rest
		if r, said := run(t, limited); r.restored || !strings.Contains(said, "which is removed") {
			t.Errorf("restored: %v; it said %s", r.restored, said)
		}
		if dirs := m.snapshots(t); len(dirs) > 0 {
			t.Errorf("it is still there: %q", dirs)
		}
	})
	t.Run("QEMU killed while it saves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := m
		m.Progress = writerFunc(func([]byte) (int, error) { time.AfterFunc(2*time.Second, cancel); return 0, nil })
		if r, err := m.run(ctx, []string{"true"}, os.Stderr, os.Stderr); err == nil {
			t.Errorf("it ran: %+v", r)
		}
		if dirs := m.snapshots(t); len(dirs) > 0 {
			t.Errorf("snapshots: %q", dirs)
		}
	})
	t.Run("the next one", func(t *testing.T) {
		if r, said := run(t, m); !r.restored {
			t.Errorf("it booted: %s", said)
		}
	})
	dir, copied := one(t, m), filepath.Join(t.TempDir(), "snapshot")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	t.Run("a guest that hangs", func(t *testing.T) {
		// All of its code is a jump to itself.
		rewrite(t, dir, memoryFile, func(b []byte) []byte { return bytes.Repeat([]byte{0xeb, 0xfe}, len(b)/2) })
		m := m
		m.startLimit = 5 * time.Second
		if r, said := run(t, m); r.restored || !strings.Contains(said, "which is removed") {
			t.Errorf("restored: %v; it said %s", r.restored, said)
		}
	})
	if err := os.CopyFS(dir, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	t.Run("a payload that is too large", func(t *testing.T) {
		large := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(large, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(large, payloadSize); err != nil {
			t.Fatal(err)
		}
		m := m
		m.Files = []File{{Host: large, Guest: "/large"}}
		if r, said := run(t, m); r.restored || !strings.Contains(said, "larger than") {
			t.Errorf("restored: %v; it said %s", r.restored, said)
		}
	})
	t.Run("a full disk", func(t *testing.T) {
		m := emptyCache(t, m)
		if err := unix.Mount("small", snapshotsOf(t, m), "tmpfs", 0, "size=20m,mode=755"); err != nil {
			t.Skipf("no file system of its own: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(snapshotsDir(m.Cache), unix.MNT_DETACH) })
		if r, said := run(t, m); r.restored || !strings.Contains(said, "no space left") {
			t.Errorf("restored: %v; it said %s", r.restored, said)
		}
		if left, err := filepath.Glob(filepath.Join(snapshotsDir(m.Cache), "*", ".build-*")); err != nil || len(left) > 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	})
}

func snapshotsOf(t *testing.T, m Machine) string {
	t.Helper()
	dir := snapshotsDir(m.Cache)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
