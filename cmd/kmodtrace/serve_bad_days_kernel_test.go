package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
		times, actions = 2, stormActions/10
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
	want := append(slices.Repeat([]string{"started", "inventory"}, times+1), "stopped")
	if records := s.records(); !has(records, want...) || count(records, "stopped") != 1 {
		t.Errorf("after %d kills the records are\n\t%s", times, strings.Join(records, "\n\t"))
	}
	if gaps := s.saying("the one before it was killed"); gaps != times {
		t.Errorf("%d of %d kills are said", gaps, times)
	}
}

// TestServeBlinded: root switches all kprobes off for a moment and loads a module in it. The
// journal says that nobody could see meanwhile, and that the module is there.
func TestServeBlinded(t *testing.T) {
	const kprobes = "/sys/kernel/debug/kprobes/enabled"
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	unload(t, []string{"hello"}) // an earlier test may have left it
	s := serve(t, t.TempDir(), "")
	t.Cleanup(func() { _ = os.WriteFile(kprobes, []byte("1"), 0) })
	if err := os.WriteFile(kprobes, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/sbin/insmod", labModule("hello")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer unload(t, []string{"hello"})
	if err := os.WriteFile(kprobes, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	s.await("blind")
	// By the tracepoint, which kprobes do not switch off, or by the list of modules, which
	// the service looks at each minute.
	var told []string
	await.Until(t, "hello is told", func() bool {
		s.each(func(r *journal.Record) {
			if r.Module == "hello" {
				told = append(told, string(r.Kind))
			}
		})
		return len(told) > 0
	})
	t.Logf("told as %q", told)
	if status := s.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, s.said)
	}
}

// refusedUnloads makes some.
func refusedUnloads(n int) {
	for range n {
		_ = unix.DeleteModule("nosuch_storm", unix.O_NONBLOCK)
		time.Sleep(time.Millisecond)
	}
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
	refusedUnloads(100)
	s.awaitCount("unload nosuch_storm failed by root not-loaded", 100)
	time.Sleep(11 * time.Second) // for what is damaged at once it does not begin anew
	moveLog(t, s.path)           // or the service finds in it all that was overwritten
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
		if time.Since(start) > await.Bound {
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
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
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
	const made = 500 // more than there is room for
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
	for start := time.Now(); time.Since(start) < await.Bound; time.Sleep(time.Second) {
		if got = count(s.lines(), line); got >= n {
			break
		}
	}
	return got
}

// awaitHealth waits until the service is as well as that.
func awaitHealth(t *testing.T, socket, status, text string) {
	t.Helper()
	var health string
	for start := time.Now(); time.Since(start) < await.Bound; time.Sleep(100 * time.Millisecond) {
		health = askService(t, socket, "/healthz")
		if strings.HasPrefix(health, status) && strings.Contains(health, text) {
			return
		}
	}
	t.Fatalf("it is %q, want %s%s", health, status, text)
}

// moveLog moves what is in the log beside a journal into the journal, as SQLite does once the
// log has 4 MiB.
func moveLog(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=60000")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var busy, frames, moved int
	if err := db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil || busy != 0 {
		t.Fatalf("checkpoint: busy %d, %v", busy, err)
	}
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

// ids are of all records of its journal.
func (s *served) ids() map[string]bool {
	s.t.Helper()
	all := make(map[string]bool)
	s.each(func(r *journal.Record) { all[r.ID] = true })
	return all
}
