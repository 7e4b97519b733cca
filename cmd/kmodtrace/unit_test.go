package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnit: the unit has the bounds that the siege holds the service to.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "packaging", "kmodtrace.service"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, line := range []string{
		fmt.Sprintf("MemoryMax=%dM", siegeMemory>>20), "MemorySwapMax=0", "CPUWeight=" + unitWeight, "Slice=-.slice",
	} {
		if !slices.Contains(lines, line) {
			t.Errorf("the unit has no line %s", line)
		}
	}
}
