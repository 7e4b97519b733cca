package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"
)

// askLatency measures how long after a load its line comes, on a machine that is not
// busy: one load every few milliseconds.
func askLatency(ctx context.Context, b *bench, group []contender) error {
	for _, c := range group {
		if c.event == nil { // shows nothing before its end
			continue
		}
		var lines stamper
		also, followed := io.Writer(&lines), func() {}
		_, err := b.with(ctx, c, also, func(*session) error {
			if c.records != nil {
				followed = follow(c.records[len(c.records)-1], &lines)
			}
			_, err := b.runStorm(ctx, "calm", 200, nil)
			time.Sleep(time.Second) // the line of the last one
			followed()
			return err
		})
		if err != nil {
			return err
		}
		if b.failed[c.name] {
			continue
		}
		delays := lines.delays(c.event)
		if len(delays) == 0 {
			return fmt.Errorf("%s showed no load", c.name)
		}
		slices.Sort(delays)
		for name, at := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
			if err := b.say(c.name, latencyPart, name, 0, quantile(delays, at), ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// quantile of sorted values: the least one that so many are not above.
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

// follow copies what is appended to a file, at most a millisecond late.
func follow(name string, to io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.Open(name)
		if err != nil {
			return
		}
		defer f.Close()
		_, _ = f.Seek(0, io.SeekEnd)
		for ctx.Err() == nil {
			_, _ = io.Copy(to, f)
			time.Sleep(time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
