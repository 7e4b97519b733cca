package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// bench is the guest's part.
type bench struct {
	options
	kernel string
	out    *json.Encoder
	failed map[string]bool
}

// question is a part of the benchmark, asked of several contenders.
type question struct {
	part part
	ask  func(context.Context, *bench, []contender) error
}

// questions in the order in which they are asked.
func questions() []question {
	return []question{
		{startPart, askStart}, {taxPart, askTax}, {sharePart, askShare}, {lossPart, askLoss}, {latencyPart, askLatency},
		{growthPart, askGrowth}, {profilePart, askProfile},
	}
}

func (o options) measureAll(ctx context.Context, stdout io.Writer) error {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	asked, err := regexp.Compile(o.parts)
	if err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	b := &bench{options: o, kernel: procfs.Uname().Release, out: json.NewEncoder(stdout), failed: make(map[string]bool)}
	b.out.SetEscapeHTML(false)
	// Those that leave the machine another one come after all questions to the others.
	var groups [2][]contender
	for _, c := range contenders(o.against) {
		switch {
		case !wanted.MatchString(c.name):
			continue
		case c.last:
			groups[1] = append(groups[1], c)
		default:
			groups[0] = append(groups[0], c)
		}
		if err := b.say(c.name, commandPart, "command", 0, 0, c.command()); err != nil {
			return err
		}
	}
	for _, group := range groups {
		for _, q := range questions() {
			if len(group) == 0 || !asked.MatchString(string(q.part)) {
				continue
			}
			fmt.Fprintf(os.Stderr, "bench: %s: %s\n", b.kernel, q.part)
			if err := q.ask(ctx, b, group); err != nil {
				return fmt.Errorf("%s: %w", q.part, err)
			}
		}
	}
	return nil
}

func (b *bench) say(contender string, p part, measure string, round int, value float64, text string) error {
	return b.out.Encode(sample{Kernel: b.kernel, Contender: contender, Part: p, Measure: measure, Round: round, Value: value, Text: text})
}

// with has a contender attached while do runs. One that cannot run here has that said,
// and is left out from then on. The baseline is not a session.
func (b *bench) with(ctx context.Context, c contender, also io.Writer, do func(*session) error) (ended *session, err error) {
	if b.failed[c.name] {
		return nil, nil
	}
	s, err := c.begin(ctx, also)
	if err != nil {
		b.failed[c.name] = true
		return nil, b.say(c.name, failedPart, "why", 0, 0, err.Error())
	}
	doErr := do(s)
	if s.stopped, err = s.end(); err != nil {
		return nil, err
	}
	return s, doErr
}
