package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/deadfuse"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// refused is a load that failed for what only its file tells.
func refused(t *testing.T, path string) *tracer.Action {
	t.Helper()
	if err := os.WriteFile(path, []byte("\x7fELF not really a module"), 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return &tracer.Action{
		Kind: tracer.Load, Module: "x", Outcome: tracer.Failed, Stage: tracer.StageVerify, Errno: unix.ENOEXEC, ErrnoName: "ENOEXEC",
		Call: &tracer.Enter{Call: tracer.FinitModule, Capable: true, FD: -1},
		File: &tracer.File{
			Path: path, Device: tracer.Device{Major: unix.Major(st.Dev), Minor: unix.Minor(st.Dev)}, Inode: st.Ino,
			Size: uint64(st.Size), Mode: st.Mode, ChangeTimeNS: st.Ctim.Nano(),
		},
	}
}

// TestHealth: while lookups hang that is said, with since when; what comes back in time is
// complete all the same, and the next load has its hash.
func TestHealth(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc/sys/kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/sys/kernel/osrelease"), []byte("6.12.0-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(&kernel.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	covered := filepath.Join(root, "covered")
	if err := os.Mkdir(covered, 0o755); err != nil {
		t.Fatal(err)
	}
	a := refused(t, filepath.Join(covered, "x.ko"))
	a.File.Path = "/covered/x.ko"
	next := refused(t, filepath.Join(root, "next.ko"))
	next.File.Path = "/next.ko"

	// Below another root no mounts are known: the path is followed.
	q := NewInquiry(k, false)
	q.origins = provenance.NewLookup(&provenance.Options{Root: root, Timeout: 100 * time.Millisecond})
	q.causes = cause.NewExplainer(k, &cause.Options{Lookup: q.origins, Timeout: time.Hour})
	if err := q.Health(); err != nil {
		t.Errorf("before: %v", err)
	}
	deadfuse.Mount(t, covered)
	began := time.Now()
	whole := q.All(t.Context(), a)
	if o := whole.Origin; o.State != provenance.Unchecked || !strings.Contains(o.Why, "no answer within 100ms") {
		t.Errorf("origin: %+v", o)
	}
	if c := whole.Cause; c == nil || !strings.Contains(strings.Join(c.Evidence, "\n"), "not looked at: no answer within 100ms") {
		t.Errorf("cause: %+v", c)
	}
	var hung *HungError
	if err := q.Health(); !errors.As(err, &hung) || hung.Count != 1 || hung.Oldest.Since.Before(began) || !strings.HasPrefix(err.Error(), "lookups without an answer: 1; the oldest waits since 2") {
		t.Errorf("while it hangs: %v", err)
	}
	q.origins = provenance.NewLookup(&provenance.Options{Root: root, Timeout: time.Hour})
	if o := q.All(t.Context(), next).Origin; o.State != provenance.Same || o.SHA256 == "" {
		t.Errorf("the next: %+v", o)
	}
}
