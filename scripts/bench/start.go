package main

import (
	"context"
	"errors"
	"time"
)

// askStart measures how long each takes to be attached and to be gone, and what it needs for that.
func askStart(ctx context.Context, b *bench, group []contender) error {
	for round := range b.rounds {
		for i := range group {
			if err := b.start(ctx, round, group[(i+round)%len(group)]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context, round int, c contender) error {
	before, err := hooked()
	if err != nil {
		return err
	}
	var u usage
	s, err := b.with(ctx, c, nil, func(s *session) error {
		u = s.usage()
		return nil
	})
	if s == nil || err != nil {
		return err
	}
	after, err := before+1, error(nil)
	for deadline := time.Now().Add(2 * time.Second); after > before && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if after, err = hooked(); err != nil { // the kernel frees programs a grace period later
			return err
		}
	}
	say := func(measure string, value float64) error { return b.say(c.name, startPart, measure, round, value, "") }
	return errors.Join(
		say("ready", s.took.Seconds()), say("CPU", u.cpu), say("gone", s.stopped.Seconds()),
		say("peak", u.peak), say("at rest", u.resident), say("left", float64(after-before)))
}
