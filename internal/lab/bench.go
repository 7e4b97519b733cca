package lab

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Measurement is what booting one machine costs, over some runs of an empty
// command.
type Measurement struct {
	Image int64 // bytes of the initramfs, or of what the machine gets in its place
	Accel Accel // what executed it
	// Restored says that the machine went on from a snapshot, and did not boot.
	Restored bool
	Build    Spread // writing the image
	Init     Spread // from QEMU's start to the guest's first process
	Done     Spread // from QEMU's start to the end of the command
	Off      Spread // from QEMU's start to its exit
}

// Spread is the middle of some durations, and their ends.
type Spread struct{ Min, Median, Max time.Duration }

func (s Spread) String() string {
	return fmt.Sprintf("%.2f s (%.2f to %.2f)", s.Median.Seconds(), s.Min.Seconds(), s.Max.Seconds())
}

func newSpread(values []time.Duration) Spread {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return Spread{}
	}
	return Spread{Min: sorted[0], Median: sorted[len(sorted)/2], Max: sorted[len(sorted)-1]}
}

// Measure boots the machine some times with a command that does nothing. A run
// that fails ends it.
func Measure(ctx context.Context, m Machine, runs int) (Measurement, error) {
	if runs < 1 {
		return Measurement{}, fmt.Errorf("measure %d runs: must be at least one", runs)
	}
	var result Measurement
	var err error
	if m, err = m.withDefaults(); err != nil {
		return result, err
	}
	if m.Accel == "" {
		if m.Accel, err = ChooseAccel(ctx, m.Cache, m.Kernel); err != nil {
			return result, err
		}
	}
	var build, ready, done, off []time.Duration
	if m.restorable() {
		// The first one may have to make the snapshot.
		if _, err := m.run(ctx, []string{kmodtracePath, "--help"}, io.Discard, io.Discard); err != nil {
			return result, err
		}
	}
	for range runs {
		r, err := m.run(ctx, []string{kmodtracePath, "--help"}, io.Discard, io.Discard)
		if err != nil {
			return result, err
		}
		t := r.times
		build = append(build, t.started.Sub(t.begun))
		ready = append(ready, t.ready.Sub(t.started))
		done = append(done, t.exited.Sub(t.started))
		off = append(off, t.off.Sub(t.started))
		result.Image, result.Restored = r.image, r.restored
	}
	result.Accel = m.Accel
	result.Build, result.Init = newSpread(build), newSpread(ready)
	result.Done, result.Off = newSpread(done), newSpread(off)
	return result, nil
}
