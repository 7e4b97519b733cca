package kbuild

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTwins(t *testing.T) {
	got := twins([]Module{{Name: "a_b", Path: "a-b.ko"}, {Name: "c", Path: "c.ko"}, {Name: "a_b", Path: "a_b.ko"}})
	if want := []string{"a-b.ko and a_b.ko are both module a_b: the kernel takes one of them at a time"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestDeliveryIsWhole: where one file cannot be put, none is, and nothing is left there.
func TestDeliveryIsWhole(t *testing.T) {
	from, out := filepath.Join(t.TempDir(), "made"), t.TempDir()
	writeFile(t, from, "new")
	writeFile(t, filepath.Join(out, "a"), "old")
	writeFile(t, filepath.Join(out, "b/inside"), "")
	var d delivery
	if _, changed, err := d.file(from, filepath.Join(out, "a")); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if _, _, err := d.file(from, filepath.Join(out, "b")); !errors.Is(err, unix.EISDIR) {
		t.Errorf("over a directory: %v", err)
	}
	d.undo()
	if text, _ := os.ReadFile(filepath.Join(out, "a")); string(text) != "old" {
		t.Errorf("a holds %q", text)
	}
	if got := list(t, out); !slices.Equal(got, []string{".", "a", "b", "b/inside"}) {
		t.Errorf("left %q", got)
	}
}
