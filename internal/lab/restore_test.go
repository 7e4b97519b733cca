package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// restored runs argv in a machine, and tells whether it went on from a snapshot, and what
// the lab said.
func (m Machine) restored(t *testing.T, argv ...string) (outcome, report, string) {
	t.Helper()
	var stdout, stderr, progress bytes.Buffer
	m.Progress = &progress
	r, err := m.run(t.Context(), argv, &stdout, &stderr)
	return outcome{r.status.Status, err, stdout.String(), stderr.String()}, r, progress.String()
}

// emptyCache gives the machine a cache of its own, which has its tools and no snapshots.
func emptyCache(t *testing.T, m Machine) Machine {
	t.Helper()
	cache := t.TempDir()
	if err := os.Chmod(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(m.Cache, "guest"), filepath.Join(cache, "guest")); err != nil {
		t.Fatal(err)
	}
	m.Cache, m.Accel = cache, TCG
	return m
}

func (m Machine) snapshots(t *testing.T) (dirs []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(snapshotsDir(m.Cache), "*", "*", indexFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		dirs = append(dirs, filepath.Dir(name))
	}
	return dirs
}

// Two runs that want a snapshot at once make one.
func TestRestoreAtOnce(t *testing.T) {
	m := emptyCache(t, quick(t))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if got, r, said := m.restored(t, "true"); got.err != nil || got.status != 0 || !r.restored {
				t.Errorf("%+v, restored: %v; %s", got, r.restored, said)
			}
		})
	}
	both.Wait()
	if dirs := m.snapshots(t); len(dirs) != 1 {
		t.Errorf("snapshots: %q", dirs)
	}
}
