package tracer

import "time"

// Cost is what the program of one hook took, as the kernel counts it.
type Cost struct {
	// Program is its name in bpf/hooks: the way, and the function.
	Program string        `json:"program"`
	Runs    uint64        `json:"runs"`
	Took    time.Duration `json:"took_ns"`
}

// Costs reads what the programs of this Tracer took so far, in no order. The
// kernel counts only while its statistics are on (the sysctl
// kernel.bpf_stats_enabled), which themselves add two readings of the clock to
// each run. It counts for the program that it calls: where probes share an event,
// all entries are shared_entries here, and all returns shared_returns.
func (t *Tracer) Costs() ([]Cost, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil
	}
	all, err := t.hooks.Stats()
	if err != nil {
		return nil, err
	}
	costs := make([]Cost, 0, len(all))
	for name, stats := range all {
		costs = append(costs, Cost{Program: name, Runs: stats.RunCount, Took: stats.Runtime})
	}
	return costs, nil
}
