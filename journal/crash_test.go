package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A process that is killed in the middle of appends, again and again: all that it was
// told is kept is there, and the chain holds.
func TestKilledWhileAppending(t *testing.T) {
	t.Parallel()
	times := 30
	if testing.Short() {
		times = 5
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	for i := range times {
		c, lines := startChild(t, path)
		time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { c.Process.Kill() })
		kept := int64(0)
		for lines.Scan() {
			seq, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				break // cut in the middle of a line, or an error
			}
			kept = seq
		}
		if err := c.Wait(); err == nil || c.ProcessState.Exited() {
			t.Fatalf("the child was not killed, and says %q", lines.Text())
		}
		checkKilled(t, path, i, kept)
	}
}

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
