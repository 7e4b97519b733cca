package main

import (
	"context"
	"encoding/base64"
	"os"
	"slices"
)

const profileFile = "/run/bench-profile"

// askProfile records where kmodtrace's own time goes in storms: by one of its backends,
// for the reader is the same.
func askProfile(ctx context.Context, b *bench, group []contender) error {
	for _, c := range group {
		if c.exact == nil {
			continue
		}
		for _, storm := range []string{"cycles", "fewer refusals"} {
			if err := b.profile(ctx, c, storm); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (b *bench) profile(ctx context.Context, c contender, storm string) error {
	_ = os.Remove(profileFile) // of the storm before: the flag wants a new file
	c.argv = append(slices.Clone(c.argv), "--cpuprofile", profileFile)
	s, err := b.with(ctx, c, nil, func(*session) error {
		_, err := b.runStorm(ctx, storm, max(2000/b.less, 8), nil)
		return err
	})
	if s == nil || err != nil {
		return err
	}
	data, err := os.ReadFile(profileFile)
	if err != nil {
		return err
	}
	return b.say(c.name, profilePart, storm, 0, 0, base64.StdEncoding.EncodeToString(data))
}
