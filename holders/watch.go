package holders

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Report says who took and dropped references to a module from when the watching began.
type Report struct {
	Module string `json:"module"`
	// Time is when the watching began, Took how long it went on until now.
	Time time.Time     `json:"time"`
	Took time.Duration `json:"took_ns"`
	// Final says that this is the last one.
	Final bool `json:"final"`
	// CountBefore and CountNow are the module's references as the kernel counts
	// them; CountNow is nil when it was unloaded.
	CountBefore int    `json:"refcount_before"`
	CountNow    *int   `json:"refcount_now,omitempty"`
	Totals      Totals `json:"totals"`
	Sites       []Site `json:"sites"`
}

// unloadCheck is how often it is looked whether the module has gone: nothing tells.
const unloadCheck = 100 * time.Millisecond

// Watch gives a report each interval, unless that is 0, and the last one when ctx is done or the module
// was unloaded. Before the last one it closes r. An error ends it.
func (r *Refs) Watch(ctx context.Context, interval time.Duration) iter.Seq2[*Report, error] {
	return func(yield func(*Report, error) bool) {
		check := time.NewTicker(unloadCheck)
		defer check.Stop()
		var each <-chan time.Time
		if interval > 0 {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			each = ticker.C
		}
		for {
			select {
			case <-ctx.Done():
				yield(r.last())
				return
			case <-each:
				report, err := r.report(RefCount(r.module))
				if !yield(report, err) || err != nil {
					return
				}
			case <-check.C:
				total, err := r.Totals()
				if err != nil {
					yield(nil, err)
					return
				}
				if total.Unloaded {
					yield(r.last())
					return
				}
			}
		}
	}
}

// last detaches, and gives what was counted until then.
func (r *Refs) last() (*Report, error) {
	count, countErr := RefCount(r.module)
	if err := r.Close(); err != nil {
		return nil, err
	}
	report, err := r.report(count, countErr)
	if err != nil {
		return nil, err
	}
	report.Final = true
	return report, nil
}

// report is what is counted now. A module that went has no count any more, and one of its name that
// came since is another.
func (r *Refs) report(count int, countErr error) (*Report, error) {
	report := &Report{Module: r.module, Time: r.began, CountBefore: r.before, CountNow: &count}
	var err error
	if report.Sites, err = r.Balance(); err != nil {
		return nil, err
	}
	if report.Totals, err = r.Totals(); err != nil {
		return nil, err
	}
	report.Took = time.Since(r.began)
	if report.Totals.Unloaded || errors.Is(countErr, ErrNotLoaded) {
		report.CountNow = nil
		countErr = nil
	}
	return report, countErr
}
