//go:build !race

package guest

import (
	"bufio"
	"errors"
	"testing"
)

// TestNoiseEnds: what is not a guest of the lab is not listened to for ever.
func TestNoiseEnds(t *testing.T) {
	r := NewReader(bufio.NewReader(endless{}))
	if err := r.Sync(); !errors.Is(err, ErrGarbage) {
		t.Errorf("got %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
