package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// Who writes is seen while that goes on, by any other process, and not of a copy.
func TestHasWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	c, _ := startChild(t, path)
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if held, err := r.HasWriter(); !held || err != nil {
		t.Errorf("while another process writes: %v, %v", held, err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if held, err := r.HasWriter(); held || err != nil {
		t.Errorf("when that is dead: %v, %v", held, err)
	}
	if err := os.Remove(path + "-lock"); err != nil {
		t.Fatal(err)
	}
	if held, err := r.HasWriter(); held || err != nil {
		t.Errorf("as in a copy: %v, %v", held, err)
	}
}
