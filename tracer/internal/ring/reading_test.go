package ring

import "testing"

// TestReading: the kernel side knows how far the reader is, also when another one goes on
// there, that nobody reads, and when it has to wake the reader.
func TestReading(t *testing.T) {
	var memory shared
	r := &reading{shared: &memory}
	for i, step := range []struct {
		do    func()
		want  uint64
		waits uint64
	}{
		{r.begin, 0, 0},
		{func() { r.took(40) }, 40, 0},
		{r.sleeps, 40, 1},
		{func() { memory.waits.Store(0); r.leave() }, nobody, 0}, // it was woken
		{r.begin, 40, 0},
		{func() { r.took(48) }, 48, 0},
		{func() { r.shared = nil }, 48, 0}, // as close leaves it
		{func() { r.took(56) }, 48, 0},
		{r.sleeps, 48, 0},
		{r.leave, 48, 0},
	} {
		step.do()
		if got, waits := memory.through.Load(), memory.waits.Load(); got != step.want || waits != step.waits {
			t.Errorf("step %d: %d, %d, want %d, %d", i, got, waits, step.want, step.waits)
		}
	}
}

// TestReadingUnhurried: a reader in no hurry is never behind.
func TestReadingUnhurried(t *testing.T) {
	var memory shared
	r := &reading{shared: &memory}
	r.leave()
	r.hurryNot()
	r.begin()
	r.took(40)
	if got := memory.through.Load(); got != nobody {
		t.Errorf("it is at %d", got)
	}
}
