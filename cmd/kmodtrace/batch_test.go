package main

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
	b := batch{out: &out}
	pass := func(more bool) {
		t.Helper()
		if err := b.pass(more); err != nil {
			t.Fatal(err)
		}
	}
	pass(false)
	b.add("one\n")
	pass(true)
	if len(out) != 0 {
		t.Errorf("written although more was to come: %q", out)
	}
	b.add("two\n")
	pass(false)
	b.add("three\n")
	pass(false)
	pass(false)
	if len(out) != 2 || out[0] != "one\ntwo\n" || out[1] != "three\n" {
		t.Errorf("%q", out)
	}
	record := strings.Repeat("x", batchBytes/2-1) + "\n"
	for range 5 {
		b.add(record)
		pass(true)
	}
	if len(out) != 4 || out[2] != record+record || out[3] != record+record {
		t.Errorf("%d writes of records that make a batch two by two", len(out))
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestBatchBroken(t *testing.T) {
	for err, want := range map[error]int{syscall.EPIPE: exitRefused, syscall.ENOSPC: 1} {
		b := batch{out: broken{err}}
		b.add("one\n")
		if got := b.pass(false); got == nil || statusOf(got) != want || (err == syscall.ENOSPC && !errors.Is(got, err)) {
			t.Errorf("%v: %v, status %d", err, got, statusOf(got))
		}
	}
}
