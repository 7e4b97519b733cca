package main

import (
	"strings"
	"testing"
)

// TestKeptOutput: a command that floods takes no memory from the module on trial.
func TestKeptOutput(t *testing.T) {
	var k keptOutput
	for range 10 {
		text := []byte(strings.Repeat("x", maxOutput/3))
		if n, err := k.Write(text); n != len(text) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if k.Len() != maxOutput {
		t.Errorf("kept %d bytes", k.Len())
	}
}
