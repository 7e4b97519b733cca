package main

import (
	"context"
	"encoding/base64"
	"os"
)

const profileFile = "/run/bench-profile"

// askProfile records where kmodtrace's own time goes in a storm.
func askProfile(ctx context.Context, b *bench, group []contender) error {
	for _, c := range group {
		if c.exact == nil {
			continue
		}
		s, err := b.with(ctx, c, nil, func(*session) error {
			_, err := b.runStorm(ctx, "cycles", max(2000/b.less, 8), nil)
			return err
		}, "KMODTRACE_CPUPROFILE="+profileFile)
		if s == nil || err != nil {
			return err
		}
		data, err := os.ReadFile(profileFile)
		if err != nil {
			return err
		}
		if err := b.say(c.name, profilePart, "cycles", 0, 0, base64.StdEncoding.EncodeToString(data)); err != nil {
			return err
		}
	}
	return nil
}
