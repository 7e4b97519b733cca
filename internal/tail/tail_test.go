package tail

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestTail: everything in order, the error at the end; who stops reading ends it all,
// and gets what was left.
func TestTail(t *testing.T) {
	failure := errors.New("no more")
	ended := make(chan bool, 1)
	read := func(ctx context.Context) iter.Seq2[tracer.Action, error] {
		return func(yield func(tracer.Action, error) bool) {
			defer func() { ended <- ctx.Err() != nil }()
			for id := range tracer.ID(5000) {
				if !yield(tracer.Action{ID: id}, nil) {
					return
				}
			}
			yield(tracer.Action{}, failure)
		}
	}
	next := tracer.ID(0)
	tl := New(t.Context(), read)
	for a := range tl.Items {
		if a.ID != next {
			t.Fatalf("%d after %d", a.ID, next)
		}
		next++
	}
	if next != 5000 || <-ended || tl.Err != failure {
		t.Errorf("%d were read, then %v", next, tl.Err)
	}
	tl = New(t.Context(), read)
	for range 10 {
		<-tl.Items
	}
	if rest := tl.Finish(); len(rest) != 4990 || rest[0].ID != 10 || !<-ended {
		t.Errorf("%d were left", len(rest))
	}
	if rest := tl.Finish(); len(rest) != 0 {
		t.Errorf("%d were left again", len(rest))
	}
}
