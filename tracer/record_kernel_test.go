package tracer

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRecord writes what the ring delivers while hello is loaded, refused and
// unloaded to the file in KMODTRACE_RECORD: the recordings that TestRecordings
// reads. `make records` makes them all.
func TestRecord(t *testing.T) {
	file := os.Getenv("KMODTRACE_RECORD")
	if file == "" || os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("records events in a machine of the lab: make records")
	}
	tr, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	hello := filepath.Join(os.Getenv("KMODTRACE_MODULES"), "hello.ko")
	for _, args := range [][]string{
		{"insmod", hello, "whom=you"},
		{"insmod", hello},
		{"rmmod", "hello"},
		{"rmmod", "hello"},
	} {
		// Two of them are refused, as they should.
		_ = exec.Command(args[0], args[1:]...).Run()
	}
	var all []byte
	for {
		var some batch
		if err := tr.ring.take(&some); err != nil {
			t.Fatal(err)
		}
		if len(some.framed) == 0 {
			break
		}
		all = append(all, some.framed...)
	}
	if err := os.WriteFile(file, all, 0o644); err != nil {
		t.Fatal(err)
	}
}
