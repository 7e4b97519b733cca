package trial

import (
	"os/exec"
	"testing"
)

// TestKeptOutput: a command that floods takes no memory from the module on trial, however its
// output is copied.
func TestKeptOutput(t *testing.T) {
	var k keptOutput
	c := exec.Command("head", "-c", "10000000", "/dev/zero")
	c.Stdout = &k
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if len(k.text) != maxKept {
		t.Errorf("kept %d bytes", len(k.text))
	}
}
