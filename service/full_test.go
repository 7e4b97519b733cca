package service

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// withMounts runs a test where nobody sees what it mounts, and where nothing of that is left
// however it ends: in a process and a mount namespace of its own.
func withMounts(t *testing.T, test func(t *testing.T)) {
	const inside = "KMODTRACE_OWN_MOUNTS"
	if os.Getenv(inside) != "" {
		test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("mounts file systems: must be root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skipf("mounts file systems, which even root may not here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

func mount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if flags&unix.MS_REMOUNT == 0 {
		options = strings.TrimSuffix("mode=0755,"+options, ",") // else all may write it, and a journal is refused there
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatal(err)
	}
	if flags&unix.MS_REMOUNT == 0 {
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // for the directory's own removal
	}
}

// said is what a service logs.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// with gives the lines that have a word.
func (s *said) with(word string) (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.text.String()) {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return lines
}

// keen takes all, and remembers it.
type keen struct {
	faulty
	entries []output.Entry
}

func (k *keen) Send(ctx context.Context, entries []output.Entry) error {
	err := k.faulty.Send(ctx, entries)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, entries...)
	return err
}

// full is a service whose journal has no room left, while actions go on.
type full struct {
	*Service
	dir   string
	said  *said
	out   *keen
	sent  int
	ended chan error // of what records them
}

func newFull(t *testing.T) *full {
	f := &full{dir: t.TempDir(), said: new(said), out: new(keen), ended: make(chan error, 1)}
	mount(t, f.dir, 0, "size=1m,mode=0700")
	log := zerolog.New(f.said)
	f.Service = withJournalIn(t, f.dir, &log)
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.asker = newAsker(func() inquiry { return record.NewInquiry(k, false) })
	f.begun(t, f.out, 0)
	go func() { f.ended <- f.record(t.Context()) }()
	for f.keeper.failing() == 0 {
		f.act(t)
	}
	for range 300 { // more than goes into the journal at once
		f.act(t)
	}
	return f
}

// act is an action.
func (f *full) act(t *testing.T) {
	t.Helper()
	f.sent++
	a := &tracer.Action{ID: tracer.ID(f.sent), Kind: tracer.Load, Module: "some", Outcome: tracer.Live, Time: time.Now()}
	put := make(chan struct{})
	go func() {
		f.intake.put(a)
		close(put)
	}()
	select {
	case <-put:
	case <-time.After(await.Bound):
		t.Fatal("nobody takes actions any more")
	}
	time.Sleep(time.Millisecond) // not for readiness: so that it is not all one batch
}

func (f *full) health() (int, string) {
	answer := httptest.NewRecorder()
	f.metrics.health(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	return answer.Code, answer.Body.String()
}

// kept gives the journal's records by their numbers, and finds it whole.
func (f *full) kept(t *testing.T) (all map[int64]journal.Record, actions int) {
	t.Helper()
	if report, err := f.journal.Verify(t.Context()); err != nil || !report.OK() {
		t.Errorf("the journal: %+v, %v", report, err)
	}
	all = make(map[int64]journal.Record)
	for r, err := range f.journal.Query(t.Context(), journal.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all[r.Seq] = r
		if r.Kind == journal.KindAction {
			actions++
		}
	}
	return all, actions
}

// checkPassed: what was passed on is in the journal.
func (f *full) checkPassed(t *testing.T, kept map[int64]journal.Record) {
	t.Helper()
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	if len(f.out.entries) == 0 {
		t.Error("nothing was passed on")
	}
	for _, e := range f.out.entries {
		if r := kept[e.Seq]; r.ID != e.ID || r.Hash != e.Hash {
			t.Errorf("record %d, %s, was passed on and is not in the journal", e.Seq, e.ID)
		}
	}
}

// TestDiskFull: while there is no room for the journal, attempts are kept in memory, one
// line says so and what to do, and the service is not healthy. With room, all of it is
// written.
func TestDiskFull(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		f := newFull(t)
		if status, text := f.health(); status != http.StatusServiceUnavailable || !strings.Contains(text, "cannot be written") {
			t.Errorf("healthz says %d, %s", status, text)
		}
		set := clock{offset() - time.Hour}
		f.checkClock(&set) // returns: what is done by the clock goes on
		kept, _ := f.kept(t)
		f.checkPassed(t, kept)

		mount(t, f.dir, unix.MS_REMOUNT, "size=32m")
		until(t, "the journal can be written", func() bool { return f.keeper.failing() == 0 })
		f.checkClock(&set)
		f.act(t)
		f.intake.end()
		if err := <-f.ended; err != nil {
			t.Error(err)
		}
		kept, actions := f.kept(t)
		if actions != f.sent || len(kept) != f.sent+1 || f.unkept != 0 {
			t.Errorf("of %d actions %d are in the journal, among %d records; %d were given up", f.sent, actions, len(kept), f.unkept)
		}
		until(t, "all is passed on", func() bool { got, _ := f.out.state(); return len(got) == len(kept) })
		f.checkPassed(t, kept)
		if status, text := f.health(); status != http.StatusOK {
			t.Errorf("with room again healthz says %d, %s", status, text)
		}
		said := f.said.with(f.dir)
		if len(said) != 1 || !strings.Contains(said[0], "no space left") || !strings.Contains(said[0], "make room") {
			t.Errorf("it said %q", said)
		}
		if again := f.said.with("written again"); len(again) != 1 || len(f.said.with("")) != 2 {
			t.Errorf("it said %q", f.said.with(""))
		}
	})
}

// TestDiskFullToTheEnd: a service that has to stop while there is no room says how many
// attempts it could not record, and records that if it can then.
func TestDiskFullToTheEnd(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		f := newFull(t)
		f.keeper.giveUp()
		err := <-f.ended
		if !errors.Is(err, journal.ErrFull) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
		// Seen once on a busy machine: the few last records had room where many actions had not. Then the
		// end is recorded at once.
		switch err := f.ending(); {
		case errors.Is(err, journal.ErrFull):
			mount(t, f.dir, unix.MS_REMOUNT, "size=32m")
			if err := f.ending(); err != nil {
				t.Error(err)
			}
		case err != nil:
			t.Errorf("the end, with no room: %v", err)
		}
		kept, actions := f.kept(t)
		f.checkPassed(t, kept)
		lost, stopped := kept[int64(len(kept))-1], kept[int64(len(kept))]
		if lost.Kind != journal.KindLost || lost.Count != int64(f.sent-actions) || stopped.Kind != journal.KindStopped {
			t.Errorf("of %d actions %d are in the journal, which ends with %s (%d) and %s", f.sent, actions, lost.Kind, lost.Count, stopped.Kind)
		}
	})
}

// TestReadOnlyJournal: a service whose journal's file system cannot be written does not
// begin, and says why in one line. Nor does one whose disk is full.
func TestReadOnlyJournal(t *testing.T) {
	withMounts(t, func(t *testing.T) {
		dir := t.TempDir()
		mount(t, dir, 0, "size=1m,mode=0700")
		config := filepath.Join(t.TempDir(), "kmodtrace.yaml")
		if err := os.WriteFile(config, []byte("journal:\n  path: "+dir+"/journal.db\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		log := zerolog.Nop()
		refused := func(want error) {
			t.Helper()
			if err := Run(t.Context(), config, nil, &log); !errors.Is(err, want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		mount(t, dir, unix.MS_REMOUNT|unix.MS_RDONLY, "")
		refused(journal.ErrReadOnly) // none is there
		mount(t, dir, unix.MS_REMOUNT, "")
		j, err := journal.Open(filepath.Join(dir, "journal.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		mount(t, dir, unix.MS_REMOUNT|unix.MS_RDONLY, "")
		refused(journal.ErrReadOnly)
		dir = t.TempDir()
		mount(t, dir, 0, "size=8k,mode=0700")
		if err := os.WriteFile(config, []byte("journal:\n  path: "+dir+"/journal.db\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(journal.ErrFull)
	})
}
