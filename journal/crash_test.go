package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func checkKilled(t *testing.T, path string, round int, kept int64) {
	t.Helper()
	// First as whoever only reads, then as the next writer.
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if report := verify(t, r); report.Last.Count < kept {
		t.Fatalf("record %d was acknowledged, and the last is %d", kept, report.Last.Count)
	}
	r.Close()
	j := reopen(t, path)
	report := verify(t, j.Reader)
	if report.Last.Count < kept {
		t.Fatalf("record %d was acknowledged, and after recovery the last is %d", kept, report.Last.Count)
	}
	for _, r := range all(t, j.Reader) {
		if r.Kind == KindAction && !json.Valid(r.Body) && !bytes.Equal(r.Body, bytes.Repeat([]byte("x"), len(r.Body))) {
			t.Fatalf("record %d is not what was appended", r.Seq)
		}
	}
	gap := load(0, "")
	gap.ID, gap.Kind = fmt.Sprint("gap-", round), KindStarted
	add(t, j, gap)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// A process that is killed while it makes a journal leaves one that can be opened.
func TestKilledWhileOpening(t *testing.T) {
	for i := range 20 {
		path := filepath.Join(t.TempDir(), "journal.db")
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "KMODTRACE_JOURNAL_CHILD="+path)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		awaitFile(t, path+"-lock")                            // its first sign of life
		time.Sleep(time.Duration(i) * 300 * time.Microsecond) // not for readiness: for another moment each time
		c.Process.Kill()
		c.Wait()
		j := reopen(t, path)
		add(t, j, Record{ID: "after", Time: begin, Boot: "boot-1", Kind: KindStarted})
		verify(t, j.Reader)
		j.Close()
	}
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	for range 100_000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
	t.Fatalf("%s does not come", path)
}
