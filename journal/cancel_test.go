package journal

import (
	"context"
	"testing"
	"time"
)

// TestCancelledQuestion: a question that is cancelled at any moment leaves the connection as the
// next one needs it.
func TestCancelledQuestion(t *testing.T) {
	j := make1(t)
	add(t, j, Record{ID: "a", Kind: KindStarted, Time: time.Now()})
	for i := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i%100)*time.Microsecond, cancel)
		_, _ = j.ReadFrom(ctx, 1, 1)
		cancel()
		if records, err := j.ReadFrom(t.Context(), 1, 1); err != nil || len(records) != 1 {
			t.Fatalf("question %d: %d records, %v", i, len(records), err)
		}
	}
}
