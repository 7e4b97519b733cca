package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"golang.org/x/sys/unix"
)

// served is a service of its own process, as a machine runs it.
type served struct {
	t    *testing.T
	dir  string
	path string // of its journal
	cmd  *exec.Cmd
	said *strings.Builder
}

// serve starts one on the journal in dir, and returns when it says that it is ready, as
// it does to systemd.
func serve(t *testing.T, dir, more string) *served {
	t.Helper()
	s := &served{t: t, dir: dir, path: filepath.Join(dir, "journal.db"), said: new(strings.Builder)}
	config := filepath.Join(dir, "kmodtrace.yaml")
	if err := os.WriteFile(config, []byte("journal:\n  path: "+s.path+"\n"+more), 0o600); err != nil {
		t.Fatal(err)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(dir, "notify"))
	defer notify.Close()
	s.cmd = exec.Command(roles.Path("kmodtrace"), "serve", "--config", config)
	s.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	s.cmd.Stderr = s.said
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	_ = notify.SetReadDeadline(time.Now().Add(time.Minute))
	told := make([]byte, 100)
	n, err := notify.Read(told)
	if err != nil || string(told[:n]) != "READY=1" {
		t.Fatalf("not ready: %q, %v; it said %s", told[:n], err, s.said)
	}
	return s
}

// end stops it by a signal, and gives its exit status.
func (s *served) end(signal syscall.Signal) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// records gives what its journal has, in a line each, and fails where that is not whole.
func (s *served) records() (lines []string) {
	s.t.Helper()
	r, err := journal.OpenReadOnly(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	report, err := r.Verify(context.Background())
	if err != nil || !report.OK() {
		s.t.Errorf("the journal: %v, %+v", err, report)
	}
	for rec, err := range r.Query(context.Background(), journal.Filter{OldestFirst: true}) {
		if err != nil {
			s.t.Fatal(err)
		}
		line := string(rec.Kind)
		if rec.Kind == journal.KindAction {
			line = strings.TrimSpace(fmt.Sprintf("%s %s %s by %s %s", rec.Action, rec.Module, rec.Outcome, rec.User, rec.Cause))
		}
		if rec.Kind != journal.KindPresent {
			lines = append(lines, line)
		}
	}
	return lines
}

// has tells whether those lines are among the records, in that order.
func has(records []string, want ...string) bool {
	for _, r := range records {
		if len(want) > 0 && r == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// TestServe: a service records what others do, who they are, and every gap in the
// watching, and the journal is whole after each of its ends.
func TestServe(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace", "login", "sudo"); err != nil {
		t.Fatal(err)
	}
	unload(t, []string{"hello"}) // an earlier test may have left it
	// Something is loaded before anybody watches.
	if out, err := exec.Command("/sbin/modprobe", "dummy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer unload(t, []string{"dummy"})
	dir := t.TempDir()
	s := serve(t, dir, "metrics:\n  listen: unix:"+filepath.Join(dir, "metrics")+"\n")
	somebody := exec.Command(roles.Path("login"), "1000", roles.Path("sudo"), "insmod", labModule("hello"))
	if out, err := somebody.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_ = exec.Command("/sbin/rmmod", "hello").Run()
	_ = exec.Command("/sbin/insmod", labModule("refuse"), "err=5").Run()
	s.await("load refuse failed by root init-refused")
	checkMetrics(t, filepath.Join(dir, "metrics"))
	s.checkLoaded()

	second := exec.Command(roles.Path("kmodtrace"), "serve", "--config", filepath.Join(dir, "kmodtrace.yaml"))
	if out, _ := second.CombinedOutput(); second.ProcessState.ExitCode() != exitRefused || !strings.Contains(string(out), "has a writer already") {
		t.Errorf("a second service on the journal: status %d, %s", second.ProcessState.ExitCode(), out)
	}
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	records := s.records()
	if !has(records, "started", "inventory", "load hello live by user", "unload hello unloaded by root", "load refuse failed by root init-refused", "stopped") {
		t.Errorf("the records are\n\t%s", strings.Join(records, "\n\t"))
	}

	s = serve(t, dir, "")
	s.end(syscall.SIGKILL)
	s = serve(t, dir, "")
	s.end(syscall.SIGTERM)
	if again := s.records(); !has(again[len(records):], "started", "inventory", "started", "inventory", "stopped") {
		t.Errorf("after a kill the records go on with\n\t%s", strings.Join(again[len(records):], "\n\t"))
	}
}

// await waits until a record is there.
func (s *served) await(line string) {
	s.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		records := s.records()
		if has(records, line) {
			return
		}
		if time.Since(start) > time.Minute {
			s.t.Fatalf("no %q among\n\t%s", line, strings.Join(records, "\n\t"))
		}
	}
}

// checkLoaded: the journal knows what is loaded, without a doubt.
func (s *served) checkLoaded() {
	s.t.Helper()
	r, err := journal.OpenReadOnly(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	var last time.Time
	for rec, err := range r.Query(context.Background(), journal.Filter{Limit: 1}) {
		if err != nil {
			s.t.Fatal(err)
		}
		last = rec.Time
	}
	loaded, err := r.LoadedAt(context.Background(), last)
	if err != nil || len(loaded.Doubts) > 0 {
		s.t.Errorf("what is loaded: doubts %+v, %v", loaded.Doubts, err)
		return
	}
	var names []string
	for _, m := range loaded.Modules {
		names = append(names, m.Module)
	}
	now := modules(s.t)
	slices.Sort(now)
	if !slices.Equal(names, now) {
		s.t.Errorf("the journal has %q, the kernel %q", names, now)
	}
}

// askService asks it by its socket, and gives the status and the text.
func askService(t *testing.T, socket, path string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	response, err := client.Get("http://kmodtrace" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status + "\n" + string(text)
}

func checkMetrics(t *testing.T, socket string) {
	t.Helper()
	metrics := askService(t, socket, "/metrics")
	for _, want := range []string{
		`kmodtrace_actions_total{action="load",cause="",outcome="live"} 1`,
		`kmodtrace_actions_total{action="load",cause="init-refused",outcome="failed"} 1`,
		"kmodtrace_events_lost_total 0", `kmodtrace_hooks{state="attached"}`, "kmodtrace_journal_records", "kmodtrace_build_info",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if health := askService(t, socket, "/healthz"); !strings.HasPrefix(health, "200 ") {
		t.Errorf("healthz: %s", health)
	}
}

// TestServeKilled: a service that is killed at any moment of a storm of ten thousand
// actions has on the disk all that it had passed on, the journal is whole, and the next
// one says that there was a gap. KMODTRACE_TIMES says how often; without it, it is done twice,
// in shorter storms.
func TestServeKilled(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("unloads modules from the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	actions := stormActions
	times, err := strconv.Atoi(os.Getenv("KMODTRACE_TIMES"))
	if err != nil {
		times, actions = 2, stormActions/5
	}
	dir := t.TempDir()
	passed := filepath.Join(dir, "passed.jsonl")
	for n := range times {
		s := serve(t, dir, "outputs:\n  - type: file\n    path: "+passed+"\n")
		at := rand.IntN(actions)
		refusedUnloads(at)
		s.end(syscall.SIGKILL)
		records := s.records() // whole
		if started := count(records, "started"); started != n+1 {
			t.Errorf("%d times it says that it started, after %d", started, n+1)
		}
		ids := passedOn(t, passed)
		kept := s.ids()
		for _, id := range ids {
			if !kept[id] {
				t.Errorf("%s was passed on, and is not in the journal", id)
			}
		}
		t.Logf("killed after %d actions: %d records are kept, %d of this time were passed on", at, len(records), len(ids))
		if err := os.Remove(passed); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	s := serve(t, dir, "")
	s.end(syscall.SIGTERM)
	if gaps := s.saying("the one before it was killed"); gaps != times {
		t.Errorf("%d of %d kills are said", gaps, times)
	}
}

const stormActions = 10_000

// refusedUnloads makes some.
func refusedUnloads(n int) {
	for range n {
		_ = unix.DeleteModule("nosuch_storm", unix.O_NONBLOCK)
		time.Sleep(time.Millisecond)
	}
}

func count(records []string, kind string) (n int) {
	for _, r := range records {
		if r == kind {
			n++
		}
	}
	return n
}

// passedOn are the ids in the lines of an output. The last line may be torn.
func passedOn(t *testing.T, path string) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines[:len(lines)-1] {
		var record struct{ ID string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("line %d that was passed on is no JSON: %v", i+1, err)
		}
		ids = append(ids, record.ID)
	}
	return ids
}

// saying counts the records whose body has a text.
func (s *served) saying(text string) (n int) {
	s.t.Helper()
	s.each(func(r *journal.Record) {
		if strings.Contains(string(r.Body), text) {
			n++
		}
	})
	return n
}

// TestServeClock: an hour that the clock is set back is told, and the journal goes on.
func TestServeClock(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("sets the clock and loads modules: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	unload(t, []string{"hello"})
	s := serve(t, t.TempDir(), "")
	_ = exec.Command("/sbin/insmod", labModule("hello")).Run()
	s.await("load hello live by root")
	setClock(t, -time.Hour)
	t.Cleanup(func() { setClock(t, time.Hour) })
	s.await("clock")
	_ = exec.Command("/sbin/rmmod", "hello").Run()
	s.await("unload hello unloaded by root")
	s.checkLoaded()
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	if records := s.records(); !has(records, "load hello live by root", "clock", "unload hello unloaded by root", "stopped") {
		t.Errorf("the records are\n\t%s", strings.Join(records, "\n\t"))
	}
	if s.saying("the clock was set back by 1h0m0") != 1 {
		t.Errorf("the records do not say by how much the clock was set")
	}
}

func setClock(t *testing.T, by time.Duration) {
	t.Helper()
	now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&now); err != nil {
		t.Fatal(err)
	}
}

// TestServeDamaged: a journal whose bytes somebody overwrites is set aside while the service
// lives, and it goes on with a new one.
func TestServeDamaged(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	unload(t, []string{"hello"})
	s := serve(t, t.TempDir(), "")
	refusedUnloads(1500)         // so that much is in the file, and not in the log beside it
	time.Sleep(11 * time.Second) // for what is damaged at once it does not begin anew
	overwrite(t, s.path)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		kept, _ := filepath.Glob(s.path + ".damaged-*")
		if r, err := journal.OpenReadOnly(s.path); err == nil {
			r.Close()
			if len(kept) > 0 {
				break
			}
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("it is not set aside: %s", s.said)
		}
	}
	s.await("inventory")
	_ = exec.Command("/sbin/insmod", labModule("hello")).Run()
	s.await("load hello live by root")
	unload(t, []string{"hello"})
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	if records := s.records(); !has(records, "corrupt", "started", "inventory", "load hello live by root", "stopped") {
		t.Errorf("the records are\n\t%s", strings.Join(records, "\n\t"))
	}
}

// TestServeDiskFull: while the journal's disk is full, what happens is kept in memory, the
// service says that it is not well, and in the end nothing is missing. On a disk that cannot
// be written it does not begin.
func TestServeDiskFull(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("mounts disks and unloads modules: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	remount := func(flags uintptr, options string) {
		t.Helper()
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, options); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "metrics")
	s := serve(t, disk, "metrics:\n  listen: unix:"+socket+"\n")
	const made = 1500
	refusedUnloads(made)
	awaitHealth(t, socket, "503 ", "the journal cannot be written")
	remount(0, "size=64m")
	awaitHealth(t, socket, "200 ", "ok")
	if got := s.awaitCount("unload nosuch_storm failed by root not-loaded", made); got != made {
		t.Errorf("%d of %d actions are recorded; it said %s", got, made, s.said)
	}

	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	if records := s.records(); count(records, "lost") != 0 || !has(records, "stopped") {
		t.Errorf("the records end with %q; it said %s", records[max(len(records)-5, 0):], s.said)
	}
	if n := strings.Count(s.said.String(), "are kept in memory until it can be written"); n != 1 {
		t.Errorf("%d times it said that it cannot write: %s", n, s.said)
	}

	// Under a service that has it open no file system becomes read-only; one that fails
	// answers with errors, as a full one does.
	remount(unix.MS_RDONLY, "")
	again := exec.Command(roles.Path("kmodtrace"), "serve", "--config", filepath.Join(disk, "kmodtrace.yaml"))
	if out, _ := again.CombinedOutput(); again.ProcessState.ExitCode() != exitRefused || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("on a disk that cannot be written: status %d, %s", again.ProcessState.ExitCode(), out)
	}
}

// awaitCount waits until a line is that often among the records, and gives how often it is.
func (s *served) awaitCount(line string, n int) (got int) {
	s.t.Helper()
	for start := time.Now(); time.Since(start) < 2*time.Minute; time.Sleep(time.Second) {
		if got = count(s.records(), line); got >= n {
			break
		}
	}
	return got
}

// awaitHealth waits until the service is as well as that.
func awaitHealth(t *testing.T, socket, status, text string) {
	t.Helper()
	var health string
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
		health = askService(t, socket, "/healthz")
		if strings.HasPrefix(health, status) && strings.Contains(health, text) {
			return
		}
	}
	t.Fatalf("it is %q, want %s%s", health, status, text)
}

// overwrite puts other bytes into a file.
func overwrite(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte("damaged "), int(info.Size()/8)), 0); err != nil {
		t.Fatal(err)
	}
}

// each calls f with all records of its journal.
func (s *served) each(f func(*journal.Record)) {
	s.t.Helper()
	r, err := journal.OpenReadOnly(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Query(context.Background(), journal.Filter{OldestFirst: true}) {
		if err != nil {
			s.t.Fatal(err)
		}
		f(&rec)
	}
}

// ids are of all records of its journal.
func (s *served) ids() map[string]bool {
	s.t.Helper()
	all := make(map[string]bool)
	s.each(func(r *journal.Record) { all[r.ID] = true })
	return all
}
