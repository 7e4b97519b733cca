package term

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

// writes are what was written, each in one go.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// TestBatch: nothing is written twice or late, and a record never in parts.
func TestBatch(t *testing.T) {
	var out writes
	b := Batch{Out: &out}
	pass := func(more bool) {
		t.Helper()
		if err := b.Pass(more); err != nil {
			t.Fatal(err)
		}
	}
	pass(false)
	b.Add("one\n")
	pass(true)
	if len(out) != 0 {
		t.Errorf("written although more was to come: %q", out)
	}
	b.Add("two\n")
	pass(false)
	b.Add("three\n")
	pass(false)
	pass(false)
	if len(out) != 2 || out[0] != "one\ntwo\n" || out[1] != "three\n" {
		t.Errorf("%q", out)
	}
	record := strings.Repeat("x", batchBytes/2-1) + "\n"
	for range 5 {
		b.Add(record)
		pass(true)
	}
	if len(out) != 4 || out[2] != record+record || out[3] != record+record {
		t.Errorf("%d writes of records that make a batch two by two", len(out))
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestBatchBroken(t *testing.T) {
	for _, err := range []error{syscall.EPIPE, syscall.ENOSPC} {
		b := Batch{Out: broken{err}}
		b.Add("one\n")
		switch got := b.Pass(false); {
		case got == nil, err == syscall.EPIPE && got != ErrSilent, err == syscall.ENOSPC && !errors.Is(got, err):
			t.Errorf("%v: %v", err, got)
		}
	}
}
