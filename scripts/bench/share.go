package main

import (
	"context"
	"errors"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// askShare measures which part of a large module's load is spent in BPF programs, by the
// kernel's own statistics. They add two readings of the clock to each run of a program,
// and count them in part.
func askShare(ctx context.Context, b *bench, group []contender) error {
	if err := unpackXFS(ctx); err != nil {
		return err
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return err
	}
	defer stats.Close()
	for _, c := range group {
		if c.report != nil || c.last { // these have no programs
			continue
		}
		_, err := b.with(ctx, c, nil, func(*session) error { return b.share(c) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) share(c contender) error {
	var errs []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		undisturbed()
		for round := range b.rounds {
			errs = append(errs, b.shareOnce(c, round))
		}
	}()
	<-done
	return errors.Join(errs...)
}

func (b *bench) shareOnce(c contender, round int) error {
	before, err := programs()
	if err != nil {
		return err
	}
	d := newDriver()
	if err := cycleXFS(d); err != nil {
		return err
	}
	after, err := programs()
	if err != nil {
		return err
	}
	var sum time.Duration
	for name, stats := range after {
		took := stats.Runtime - before[name].Runtime
		sum += took
		if err := b.say(c.name, programPart, name, round, took.Seconds()*1e6, ""); err != nil {
			return err
		}
	}
	return b.say(c.name, sharePart, "xfs", round, 100*sum.Seconds()/d.inside.Seconds(), "")
}
