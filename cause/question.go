package cause

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// question is why one action failed. Its answer may be left behind when something does
// not answer: it shares nothing with who asked that either of them writes.
type question struct {
	kernel *kernel.Kernel
	rules  []rule
	action *tracer.Action
	live   bool
	known  map[tracer.ID]*Cause // of loads that the action has to do with
	file   *provenance.Subject

	asks    atomic.Pointer[string] // what is being looked up
	certain atomic.Pointer[Cause]  // which only more could be said about

	// Of the goroutine that answers.
	lacks    []string // what was not looked up, and why
	gaveUp   bool     // on what would tell whether there is a cause at all
	modules  map[string]answering
	read     bool
	contents *kmod.File
	err      error
}

// now says what is being looked up.
func (q *question) now(what string) { q.asks.Store(&what) }

// missed keeps what was not looked up: evidence, where no cause is certain.
func (q *question) missed(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(q.lacks, text) {
		q.lacks = append(q.lacks, text)
	}
}

// answer finds the first rule whose evidence is complete; else the only one that is
// left; else it says which are.
func (q *question) answer(ctx context.Context) *Cause {
	if q.action.SharedWith != 0 {
		return q.shared(ctx)
	}
	if q.action.Outcome == tracer.Pending && q.action.Ongoing != nil {
		return q.ongoing(ctx)
	}
	q.kernel.Refresh()
	var possible []*rule
	for i := range q.rules {
		r := &q.rules[i]
		if !r.when.concerns(q.action) {
			continue
		}
		s := q.scene(ctx)
		switch r.match(s) {
		case yes:
			return s.conclude(r)
		case unsure:
			possible = append(possible, r)
		}
	}
	return q.undecided(ctx, possible)
}

// shared is the cause of the load whose result the kernel gave to this one. By its own
// events nothing can be told: it has none of the stages.
func (q *question) shared(ctx context.Context) *Cause {
	const shares = "the kernel gave it the result of another load of the same file"
	c := q.known[q.action.SharedWith]
	if c == nil {
		c = q.undecided(ctx, nil)
	}
	if c == nil {
		return nil
	}
	with := *c
	with.Evidence = append(slices.Clone(c.Evidence), shares)
	return &with
}

func (q *question) undecided(ctx context.Context, possible []*rule) *Cause {
	var codes []Code
	for _, r := range possible {
		if !slices.Contains(codes, r.code) {
			codes = append(codes, r.code)
		}
	}
	a := q.action
	s := q.scene(ctx)
	switch {
	case a.Outcome != tracer.Failed && !(a.Kind == tracer.Autoload && q.gaveUp):
		return nil // answered by a helper that had nothing to do, or not ended
	case len(codes) == 1:
		s.prove("nothing else ends with %s there", a.ErrnoName)
		possible[0].match(s) // for its names
		return s.conclude(possible[0])
	}
	s.ends()
	for _, m := range a.Messages {
		s.prove("its thread printed: %s", firstLine(m))
	}
	for _, text := range q.lacks {
		s.prove("%s", text)
	}
	text := "what was seen does not say why"
	if len(codes) > 0 {
		text += ": it may be " + orList(codes)
	}
	return &Cause{Code: Unknown, Text: text, Evidence: s.evidence, Next: nextOf(Unknown), Remaining: codes}
}

// unanswered is what is left to say when the answer did not come: the cause without what
// else there is to know, or none. The goroutine that was to give it may still be at work.
func (q *question) unanswered(ctx context.Context, err error, timeout time.Duration) *Cause {
	if c := q.certain.Load(); c != nil {
		with := *c
		with.Evidence = append(slices.Clone(c.Evidence), q.whyNot(err, timeout))
		return &with
	}
	if q.action.Outcome != tracer.Failed && q.action.Kind != tracer.Autoload {
		return nil
	}
	s := q.scene(ctx)
	s.ends()
	s.prove("%s", q.whyNot(err, timeout))
	return &Cause{Code: Unknown, Text: "what was seen does not say why", Evidence: s.evidence, Next: nextOf(Unknown)}
}

// whyNot says what was not looked up.
func (q *question) whyNot(err error, timeout time.Duration) string {
	what := "the cause"
	if asks := q.asks.Load(); asks != nil {
		what = *asks
	}
	switch {
	case errors.Is(err, slots.ErrFull):
		return fmt.Sprintf("not looked up: %v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("not looked up: %s had no answer within %s", what, timeout)
	}
	return "not looked up: it was broken off"
}

// inspect reads the module's file, once.
func (q *question) inspect(ctx context.Context) (*kmod.File, error) {
	if q.read {
		return q.contents, q.err
	}
	q.now("the contents of the file")
	ctx, cancel := inPart(ctx)
	defer cancel()
	q.contents, q.err = q.file.Inspect(ctx)
	q.read = true
	return q.contents, q.err
}

// mode gives the type of the module's file.
func (q *question) mode(ctx context.Context) (fs.FileMode, error) {
	q.now("the file")
	ctx, cancel := inPart(ctx)
	defer cancel()
	return q.file.Mode(ctx)
}

// inPart leaves half of the time for what comes after a file that does not answer.
func inPart(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}
