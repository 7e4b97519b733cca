package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/kmod"
	"golang.org/x/sys/unix"
)

// work is something that is done n times, for its time.
type work struct {
	part part
	name string
	n    int
	do   func(*driver) error
}

// works lists what is timed. What is of taxPart is of a machine that loads no modules.
func works() []work {
	return []work{
		{taxPart, "getppid", 100000, func(*driver) error { unix.Getppid(); return nil }},
		{taxPart, "open and close", 10000, openClose},
		{taxPart, "fork and exec", 50, func(*driver) error { return exec.Command("/bin/busybox", "true").Run() }},
		{loadPart, "hello", 60, cycleHello},
		{loadPart, "xfs", 2, cycleXFS},
	}
}

func openClose(*driver) error {
	fd, err := unix.Open("/etc/passwd", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func cycleHello(d *driver) error {
	f, err := os.Open(specimen("hello"))
	if err != nil {
		return err
	}
	defer f.Close()
	return d.cycle("hello", f)
}

// cycleXFS loads xfs and what it needs, and unloads them.
func cycleXFS(d *driver) error {
	steps, err := kmod.Plan(context.Background(), "xfs", nil)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Kind != kmod.StepLoad {
			continue
		}
		if err := d.loadFile(plainDirectory+"/"+s.Module+".ko", ""); err != nil {
			return fmt.Errorf("load %s: %w", s.Module, err)
		}
	}
	for _, s := range slices.Backward(steps) {
		if s.Kind != kmod.StepLoad {
			continue
		}
		if err := d.unload(s.Module); err != nil {
			return fmt.Errorf("unload %s: %w", s.Module, err)
		}
	}
	return nil
}

// plainDirectory has the large modules as the kernel takes them: unpacking is not part of
// the load's time.
const plainDirectory = "/run/bench-modules"

func unpackXFS(ctx context.Context) error {
	if err := os.MkdirAll(plainDirectory, 0o755); err != nil {
		return err
	}
	steps, err := kmod.Plan(ctx, "xfs", nil)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Kind != kmod.StepLoad {
			continue
		}
		image, err := kmod.ReadImage(s.Path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(plainDirectory+"/"+s.Module+".ko", image, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// seconds gives the time of one piece. The work is done by a new process, as audit
// taxes only those that began after it.
func (w work) seconds(ctx context.Context) (float64, error) {
	text, err := exec.CommandContext(ctx, "/proc/self/exe", "--work", w.name).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return 0, fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}

// doWork is that process.
func doWork(name string, stdout io.Writer) error {
	all := works()
	i := slices.IndexFunc(all, func(w work) bool { return w.name == name })
	if i < 0 {
		return fmt.Errorf("no work %q", name)
	}
	w := all[i]
	undisturbed()
	d := newDriver()
	if err := w.do(d); err != nil { // what is done for the first time takes longer
		return err
	}
	d.inside = 0
	start := time.Now()
	for range w.n {
		if err := w.do(d); err != nil {
			return err
		}
	}
	took := time.Since(start)
	if w.part == loadPart {
		took = d.inside
	}
	_, err := fmt.Fprintln(stdout, took.Seconds()/float64(w.n))
	return err
}

// askTax times all work under each contender. In each round they come in turn, another
// one first each time, so that nobody is always measured on the machine's best moments.
func askTax(ctx context.Context, b *bench, group []contender) error {
	if err := unpackXFS(ctx); err != nil {
		return err
	}
	turns := group
	if !group[0].last { // after the last ones there is no machine without a tracer any more
		turns = append([]contender{{name: baseline}}, group...)
	}
	for round := range b.rounds {
		for i := range turns {
			if err := b.tax(ctx, round, turns[(i+round)%len(turns)]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) tax(ctx context.Context, round int, c contender) error {
	all := func(*session) error {
		for _, w := range works() {
			took, err := w.seconds(ctx)
			if err != nil {
				return fmt.Errorf("%s under %s: %w", w.name, c.name, err)
			}
			if err := b.say(c.name, w.part, w.name, round, took, ""); err != nil {
				return err
			}
		}
		return nil
	}
	if c.name == baseline {
		return all(nil)
	}
	_, err := b.with(ctx, c, nil, all)
	return err
}
