package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// sample is one measurement, as the guest prints it and the file of results keeps it.
type sample struct {
	Kernel    string  `json:"kernel"`
	Contender string  `json:"contender"`
	Part      part    `json:"part"`
	Measure   string  `json:"measure"`
	Round     int     `json:"round,omitempty"`
	Value     float64 `json:"value"` // seconds, or what the part says
	Text      string  `json:"text,omitempty"`
}

// part is a question that is asked of each contender.
type part string

const (
	taxPart     part = "tax"     // seconds of one piece of work that loads no modules
	loadPart    part = "load"    // seconds of one cycle of load and unload
	sharePart   part = "share"   // of the time inside load system calls, in percent, in BPF programs
	programPart part = "program" // µs a load in the BPF program named by the measure
	lossPart    part = "loss"    // actions, by what became of them
	latencyPart part = "latency" // seconds from the kernel's event to the line that tells it
	readerPart  part = "reader"  // CPU seconds, or MiB
	startPart   part = "start"   // seconds, also of CPU; MiB; and what is left attached
	growthPart  part = "growth"  // seconds of one cycle, by what there is much of
	profilePart part = "profile" // text: where the reader's time goes
	commandPart part = "command" // text: how the contender is run
	failedPart  part = "failed"  // text: why it cannot run here
	machinePart part = "machine" // text: when and where it was measured
)

// baseline is the name of no contender at all.
const baseline = "none"

func parseSamples(lines []byte) (all samples, err error) {
	for line := range bytes.Lines(lines) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("what the guest printed: %w: %q", err, line)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing was measured")
	}
	return all, nil
}

// samples are those of one kernel, in the order in which they were taken.
type samples []sample

// of gives those of a part.
func (all samples) of(p part) (some samples) {
	for _, s := range all {
		if s.Part == p {
			some = append(some, s)
		}
	}
	return some
}

// by gives those of a contender.
func (all samples) by(contender string) (some samples) {
	for _, s := range all {
		if s.Contender == contender {
			some = append(some, s)
		}
	}
	return some
}

// values of a measure, by the order of rounds.
func (all samples) values(measure string) (v []float64) {
	for _, s := range all {
		if s.Measure == measure {
			v = append(v, s.Value)
		}
	}
	return v
}

// text of the first sample; empty without one.
func (all samples) text() string {
	if len(all) == 0 {
		return ""
	}
	return all[0].Text
}

func (all samples) contenders() []string {
	names := distinct(all, func(s sample) string { return s.Contender })
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
func (all samples) measures() []string {
	return distinct(all, func(s sample) string { return s.Measure })
}

func distinct(all samples, key func(sample) string) (keys []string) {
	for _, s := range all {
		if k := key(s); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// ratios to the baseline's of the same round.
func (all samples) ratios(contender, measure string) (r []float64) {
	base, own := all.by(baseline).values(measure), all.by(contender).values(measure)
	for i := range min(len(base), len(own)) {
		r = append(r, own[i]/base[i])
	}
	return r
}
