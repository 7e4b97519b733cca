package tracer

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is in the ring, and no more
	var all []byte
	for record, err := range tr.records.Records(ctx, func() time.Time { return time.Time{} }) {
		if err != nil {
			t.Fatal(err)
		}
		all = binary.LittleEndian.AppendUint32(all, uint32(len(record)))
		all = append(all, record...)
	}
	if err := os.WriteFile(file, all, 0o644); err != nil {
		t.Fatal(err)
	}
}
