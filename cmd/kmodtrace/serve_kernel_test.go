package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
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
	_ = notify.SetReadDeadline(time.Now().Add(await.Bound))
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

// records is lines, and fails where the journal is not whole.
func (s *served) records() []string {
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
	return s.lines()
}

// lines gives what its journal has, in a line each. To verify it as well takes much longer,
// and who waits for a record looks many times.
func (s *served) lines() (lines []string) {
	s.t.Helper()
	s.each(func(rec *journal.Record) {
		line := string(rec.Kind)
		if rec.Kind == journal.KindAction {
			line = strings.TrimSpace(fmt.Sprintf("%s %s %s by %s %s", rec.Action, rec.Module, rec.Outcome, rec.User, rec.Cause))
		}
		if rec.Kind != journal.KindPresent {
			lines = append(lines, line)
		}
	})
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

// TestServe: a service records what others do, who they are, and that the clock was set,
// and the journal is whole at its end.
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
	checkClock(t, s)
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
	if records := s.records(); !has(records, "started", "inventory", "load hello live by user", "unload hello unloaded by root", "load refuse failed by root init-refused",
		"load hello live by root", "clock", "unload hello unloaded by root", "stopped") {
		t.Errorf("the records are\n\t%s", strings.Join(records, "\n\t"))
	}
}

// checkClock: an hour that the clock is set back is told, and the journal goes on. It is
// set forward when the test has ended.
func checkClock(t *testing.T, s *served) {
	t.Helper()
	_ = exec.Command("/sbin/insmod", labModule("hello")).Run()
	s.await("load hello live by root")
	setClock(t, -time.Hour)
	t.Cleanup(func() { setClock(t, time.Hour) })
	s.await("clock")
	_ = exec.Command("/sbin/rmmod", "hello").Run()
	s.await("clock", "unload hello unloaded by root")
	s.checkLoaded()
	if s.saying("the clock was set back by 1h0m0") != 1 {
		t.Errorf("the records do not say by how much the clock was set")
	}
}

// adjSetOffset is ADJ_SETOFFSET of linux/timex.h.
const adjSetOffset = 0x100

func setClock(t *testing.T, by time.Duration) {
	t.Helper()
	// Not from one time to another, which is later by what lies between: by a duration.
	step := unix.Timex{Modes: adjSetOffset, Time: unix.NsecToTimeval(by.Nanoseconds())}
	if _, err := unix.Adjtimex(&step); err != nil {
		t.Fatal(err)
	}
}

// await waits until these records are there, in that order.
func (s *served) await(lines ...string) {
	s.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		there := s.lines()
		if has(there, lines...) {
			return
		}
		if time.Since(start) > await.Bound {
			s.t.Fatalf("no %q among\n\t%s", lines, strings.Join(there, "\n\t"))
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

const stormActions = 10_000

func count(records []string, kind string) (n int) {
	for _, r := range records {
		if r == kind {
			n++
		}
	}
	return n
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
