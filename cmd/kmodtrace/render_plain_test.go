//go:build !race

package main

import "testing"

// TestRenderingsFit: whatever the text, no line is wider than the terminal, and
// nothing that is not printable comes out.
func TestRenderingsFit(t *testing.T) {
	for name, text := range hostile() {
		for _, width := range []int{1, 2, 7, 20, 40, 80, 139, 140, 200, 1000} {
			for what, out := range renderings(text, width) {
				checkLines(t, name+", "+what, out, width)
			}
		}
	}
}
