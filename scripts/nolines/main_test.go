package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// TestOnlyFunctions: what is committed has as many lines as functions, and does not change again.
func TestOnlyFunctions(t *testing.T) {
	f, err := elf.Open("../../tracer/bpf_x86_bpfel.o")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	section, err := f.Section(".BTF.ext").Data()
	if err != nil {
		t.Fatal(err)
	}
	var h header
	if _, err := binary.Decode(section, order, &h); err != nil {
		t.Fatal(err)
	}
	count := func(part []byte) (n int) {
		if _, err := filter(part, func(place) bool { n++; return true }); err != nil {
			t.Error(err)
		}
		return n
	}
	body := section[h.HeaderLength:]
	functions, lines := count(body[:h.FunctionSize]), count(body[h.LineStart:h.RelocStart])
	if functions != lines || functions < 50 {
		t.Errorf("%d functions, %d lines", functions, lines)
	}
	if again, err := onlyFunctions(section); err != nil || !bytes.Equal(again, section) {
		t.Errorf("again: %v, %d bytes, was %d", err, len(again), len(section))
	}
	for n := range section {
		if _, err := onlyFunctions(section[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	section[h.HeaderLength] = 0 // records without a size
	if _, err := onlyFunctions(section); err == nil {
		t.Error("records of no bytes: no error")
	}
}
