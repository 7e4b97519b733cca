//go:build !race

package trial

import (
	"strings"
	"testing"
)

// TestConsoleHasBounds: a kernel that prints without end, in one line or many, takes a
// bounded memory, and what it says at last is heard.
func TestConsoleHasBounds(t *testing.T) {
	const many = 20_000
	p := newConsoleParser()
	say := func(text string) { _, _ = p.Write([]byte(text)) }
	say((&Event{Round: 1, Step: StepLoad}).Mark() + "\n")
	for range 16 {
		say(strings.Repeat("x", 1<<20)) // no line's end
	}
	say("\n")
	for i := range many {
		say("WARNING: again\n")
		if i%2 == 0 {
			say(strings.Repeat("\x00", 2000) + "\n")
		}
	}
	say("Kernel panic - not syncing: at last")
	c := p.end()
	if len(c.Messages) != maxMessages || c.MessagesLeftOut != many+many/2+2-maxMessages || len(c.Faults) != maxFaults+1 || c.FaultsLeftOut != many-maxFaults {
		t.Errorf("%d and %d messages, %d and %d faults", len(c.Messages), c.MessagesLeftOut, len(c.Faults), c.FaultsLeftOut)
	}
	if last := c.Faults[len(c.Faults)-1]; last.Kind != Panic {
		t.Errorf("the last is %+v", last)
	}
	for _, m := range c.Messages {
		if len(m.Text) > maxText+3 {
			t.Fatalf("a message of %d bytes", len(m.Text))
		}
	}
}
