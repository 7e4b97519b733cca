package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"golang.org/x/sys/unix"
)

// siege is what users without rights do to the service, and what it is measured by.
type siege struct {
	t         *testing.T
	timed     bool // how long a record may take is part of the test
	dir       string
	socket    string // of the metrics
	served    *served
	journal   *journal.Reader
	besiegers []*exec.Cmd
	printed   []*bufio.Reader // by the besiegers
}

// TestSiege: while users without any rights do what they can to fill the journal, to
// blind the service or to keep it busy, what root loads is recorded, with the hash of its
// file, and stays. KMODTRACE_SIEGE says for how long, "10m"; then 100 loads are spread over
// that time and each must be recorded within 10 s. Without it the siege is of four loads, each
// recorded some time, because a machine may be slow: it shows that no bound against the
// besiegers keeps a load of root's out, and that each refused call is counted. What fills
// slowly needs the long one.
func TestSiege(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	lasts, loads, within := 8*time.Second, 4, await.Bound
	if text := os.Getenv("KMODTRACE_SIEGE"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		loads, within = 100, 10*time.Second
	}
	if err := roles.Install("kmodtrace", "login", "besieger"); err != nil {
		t.Fatal(err)
	}
	unload(t, []string{"hello"}) // an earlier test may have left it
	s := begin(t)
	s.timed = os.Getenv("KMODTRACE_SIEGE") != ""
	s.lay()
	began := time.Now()
	var slowest time.Duration
	for n := range loads {
		took := s.load(n, within)
		slowest = max(slowest, took)
		time.Sleep(time.Until(began.Add(lasts * time.Duration(n+1) / time.Duration(loads))))
	}
	calls := s.lift()
	s.checkKept(loads)
	s.checkTold(calls)
	s.checkSize()
	t.Logf("%d loads, each recorded within %v; %d refused calls", loads, slowest.Round(time.Millisecond), calls)
	if status := s.served.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.served.said)
	}
}

// begin starts the service with the packaged bound of its journal.
func begin(t *testing.T) *siege {
	s := &siege{t: t, dir: t.TempDir()}
	s.socket = filepath.Join(s.dir, "metrics")
	s.served = serve(t, s.dir, "  keep_mib: 1024\nmetrics:\n  listen: unix:"+s.socket+"\n")
	share(t, "service", s.served.cmd.Process.Pid)
	share(t, "siege", os.Getpid()) // what measures must not wait either
	var err error
	if s.journal, err = journal.OpenReadOnly(s.served.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.journal.Close() })
	return s
}

// cgroups is where the control groups of version 2 are.
const cgroups = "/sys/fs/cgroup"

// unitWeight is the unit's CPUWeight=, beside the helpers that the kernel starts in the root
// group, which its Slice= says. A priority alone does nothing there: the kernel weighs
// groups, or else sessions (sched_autogroup_enabled), before the threads in one.
const unitWeight = "1000"

// share gives a process, until the test ends, the part of the processors that the unit has.
func share(t *testing.T, name string, pid int) {
	t.Helper()
	group := filepath.Join(cgroups, name)
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(cgroups, "cgroup.subtree_control"), "+cpu")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(group, "cpu.weight"), unitWeight)
	write(filepath.Join(group, "cgroup.procs"), strconv.Itoa(pid))
	t.Cleanup(func() {
		// Where it has ended already, there is nothing to take out.
		_ = os.WriteFile(filepath.Join(cgroups, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
}

// lay lets the besiegers loose.
func (s *siege) lay() {
	s.t.Helper()
	// Below it shells too: of the greatest length that programs and control groups can have.
	open, err := os.MkdirTemp("", "siege")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(open) })
	if err := os.Chmod(open, 0o755); err != nil {
		s.t.Fatal(err)
	}
	long, err := roles.LongPath(open, "besieger")
	if err != nil {
		s.t.Fatal(err)
	}
	file, cgroup := s.coveredFile(filepath.Join(open, "covered")), s.deepCgroup()
	for _, argv := range [][]string{
		{long, "calls", "3"}, {roles.Path("besieger"), "calls", "3"}, {long, "aliases"}, {roles.Path("besieger"), "mounts"},
	} {
		s.start(roles.Deep(20, argv...), file, cgroup)
	}
	for i, printed := range s.printed {
		if line, err := printed.ReadString('\n'); err != nil {
			s.t.Fatalf("besieger %d did not begin: %q, %v", i, line, err)
		}
	}
}

// coveredFile gives a file that is open, and whose path leads into a file system that
// never answers: its program never reads what it is asked.
func (s *siege) coveredFile(dir string) *os.File {
	s.t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(dir, "covered.ko")
	if err := os.WriteFile(path, []byte("not a module"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	// Some kernels have FUSE as a module, others built in.
	if out, err := exec.Command("/sbin/modprobe", "fuse").CombinedOutput(); err != nil {
		s.t.Fatalf("modprobe fuse: %v: %s", err, out)
	}
	program, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=1000,group_id=1000,allow_other", program.Fd())
	if err := unix.Mount("silent", dir, "fuse.silent", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		program.Close() // so that who waits for it gets an error
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		file.Close()
	})
	return file
}

// deepCgroup gives a control group whose path is long.
func (s *siege) deepCgroup() *os.File {
	s.t.Helper()
	dir := cgroups
	for range 8 {
		dir = filepath.Join(dir, strings.Repeat("c", 250))
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			s.t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	return f
}

// start lets one besieger loose, whose descriptor 3 is the file.
func (s *siege) start(argv []string, file, cgroup *os.File) {
	s.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	printed, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Credential: &syscall.Credential{Uid: 1000, Gid: 1000}, UseCgroupFD: true, CgroupFD: int(cgroup.Fd()),
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	s.besiegers, s.printed = append(s.besiegers, cmd), append(s.printed, bufio.NewReader(printed))
}

// load loads hello under a parameter of its own, waits for its record, and unloads it.
// It gives how long the record took.
func (s *siege) load(n int, within time.Duration) time.Duration {
	s.t.Helper()
	whom := "whom=" + mark(n)
	began := time.Now()
	if out, err := exec.Command("/sbin/insmod", labModule("hello"), whom).CombinedOutput(); err != nil {
		s.t.Fatalf("load %d: %v: %s", n, err, out)
	}
	loaded := time.Now()
	for !s.has(mark(n)) {
		if time.Since(loaded) > within {
			health := askService(s.t, s.socket, "/healthz")
			s.served.end(syscall.SIGQUIT) // prints where each goroutine is
			s.t.Fatalf("load %d is not in the journal after %v; health: %s; it said %s", n, within, health, s.served.said)
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(loaded)
	s.t.Logf("load %d: took %v, recorded %v later", n, loaded.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond))
	if out, err := exec.Command("/sbin/rmmod", "hello").CombinedOutput(); err != nil {
		s.t.Fatalf("unload %d: %v: %s", n, err, out)
	}
	return took
}

func mark(n int) string { return fmt.Sprintf("siege%d.", n) }

// has tells whether the newest load in the journal has that mark, and its hash.
func (s *siege) has(mark string) bool {
	s.t.Helper()
	found := false
	s.loads(func(r *journal.Record) bool {
		found = s.hashed(r) && bytes.Contains(r.Body, []byte(mark))
		return false
	})
	return found
}

// hashed tells whether a load has the hash of its file. Where no time is asked for it may say
// that there was none in the time that a look at a file gets: on a machine that stands almost
// still it is too short.
func (s *siege) hashed(r *journal.Record) bool {
	return r.Content != "" || !s.timed && bytes.Contains(r.Body, []byte("no answer within"))
}

// loads calls f with the journal's records of hello's loads, the newest first, until that
// has enough.
func (s *siege) loads(f func(*journal.Record) (more bool)) {
	s.t.Helper()
	filter := journal.Filter{Modules: []string{"hello"}, Actions: []string{journal.Load}, Outcomes: []string{journal.Live}}
	for rec, err := range s.journal.Query(context.Background(), filter) {
		if err != nil {
			s.t.Fatal(err)
		}
		if !f(&rec) {
			return
		}
	}
}

// lift ends the siege, and gives how many refused system calls it made.
func (s *siege) lift() (calls int64) {
	s.t.Helper()
	for _, cmd := range s.besiegers {
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGTERM); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, cmd := range s.besiegers {
		text, _ := io.ReadAll(s.printed[i])
		_ = cmd.Wait() // of a shell, which the signal ends
		made, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			s.t.Errorf("besieger %d ended early: %v", i, err)
		}
		s.t.Logf("besieger %d: %d attempts", i, made)
		if i < 2 {
			calls += made * roles.CallsAtOnce
		}
	}
	return calls
}

// checkKept: all loads are there at the end too.
func (s *siege) checkKept(loads int) {
	s.t.Helper()
	kept := make(map[string]bool)
	s.loads(func(r *journal.Record) bool {
		for n := range loads {
			if s.hashed(r) && bytes.Contains(r.Body, []byte(mark(n))) {
				kept[mark(n)] = true
			}
		}
		return true
	})
	if len(kept) != loads {
		s.t.Errorf("%d of %d loads are in the journal at the end", len(kept), loads)
	}
}

// checkTold: what the besiegers did is in the journal, one by one or as a number, or is
// said to be lost, and the metrics and the health say the same.
func (s *siege) checkTold(calls int64) {
	s.t.Helper()
	lost := s.metric("kmodtrace_events_lost_total")
	health := askService(s.t, s.socket, "/healthz")
	if healthy := strings.HasPrefix(health, "200 "); healthy != (lost+s.metric("kmodtrace_probes_missed_total") == 0) {
		s.t.Errorf("%d events are lost, and healthz says %s", lost, health)
	}
	var told int64
	for start := time.Now(); told+lost < calls && time.Since(start) < await.Bound; time.Sleep(time.Second) {
		told = s.told()
	}
	if told > calls || told+lost < calls {
		s.t.Errorf("of %d refused calls the journal tells of %d, and %d events are lost", calls, told, lost)
	}
}

// told counts the refused calls that the journal tells of.
func (s *siege) told() (n int64) {
	s.t.Helper()
	s.served.each(func(r *journal.Record) {
		switch {
		case r.Kind == journal.KindAction && r.Action != journal.Request && r.Outcome == "failed" && r.UID != nil && *r.UID == 1000:
			n++
		case r.Kind == journal.KindFolded && r.Action != journal.Request:
			n += r.Count
		}
	})
	return n
}

// metric gives the value of a metric without labels.
func (s *siege) metric(name string) int64 {
	s.t.Helper()
	lines := bufio.NewScanner(strings.NewReader(askService(s.t, s.socket, "/metrics")))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int64(value)
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// What the siege may cost: of the disk, and what the unit allows of memory.
const (
	siegeDisk   = 64 << 20
	siegeMemory = 256 << 20 // MemoryMax in packaging/kmodtrace.service
)

// checkSize: the disk did not fill, and the memory is within the unit's limit.
func (s *siege) checkSize() {
	s.t.Helper()
	var disk int64
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(s.served.path + suffix); err == nil {
			disk += info.Size()
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.served.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var peak int64 // KiB
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	s.t.Logf("the journal has %.1f MiB, the service had %d MiB at most", float64(disk)/(1<<20), peak>>10)
	if disk > siegeDisk {
		s.t.Errorf("the journal has %d bytes, more than %d", disk, siegeDisk)
	}
	if peak == 0 || peak<<10 > siegeMemory {
		s.t.Errorf("the service took %d KiB, and may take %d", peak, siegeMemory>>10)
	}
}
