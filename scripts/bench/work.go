package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// measure is a piece of work, done n times.
type measure struct {
	name string
	n    int
	do   func() error
}

// measures lists the work. The first three are of a machine that loads no modules; the
// others load and unload, by the programs that people use.
func measures() []measure {
	return []measure{
		{"getppid", 100000, func() error { unix.Getppid(); return nil }},
		{"open and close", 10000, openClose},
		{"fork and exec", 50, func() error { return exec.Command("/bin/busybox", "true").Run() }},
		{"load and unload hello", 40, cycle("insmod", helloModule, "rmmod", "hello")},
		{"load and unload xfs", 3, cycle("modprobe", "xfs", "modprobe", "-r", "xfs")},
	}
}

func openClose() error {
	fd, err := unix.Open("/etc/passwd", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func cycle(load, file string, unload ...string) func() error {
	return func() error {
		if text, err := exec.Command(load, file).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", load, file, err, text)
		}
		if text, err := exec.Command(unload[0], unload[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(unload, " "), err, text)
		}
		return nil
	}
}

// seconds gives the time of one piece. The work is done by a new process, as audit
// taxes only those that began after it.
func (m measure) seconds(ctx context.Context) (float64, error) {
	text, err := exec.CommandContext(ctx, "/proc/self/exe", "--work", m.name).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return 0, fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}

// measureOne is that process.
func measureOne(name string, stdout io.Writer) error {
	all := measures()
	i := slices.IndexFunc(all, func(m measure) bool { return m.name == name })
	if i < 0 {
		return fmt.Errorf("no work %q", name)
	}
	m := all[i]
	if err := m.do(); err != nil { // what is done for the first time takes longer
		return err
	}
	start := time.Now()
	for range m.n {
		if err := m.do(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(stdout, time.Since(start).Seconds()/float64(m.n))
	return err
}

// baseline is the name of no contender at all.
const baseline = "none"

// measureAll is the guest's part. In each round the contenders come in turn, another
// one first each time, so that nobody is always measured on the machine's best moments.
// Those that leave the machine another one come after all rounds of the others.
func measureAll(ctx context.Context, rounds int, only string, stdout io.Writer) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	b := &bench{kernel: unix.ByteSliceToString(uts.Release[:]), out: json.NewEncoder(stdout), failed: make(map[string]bool)}
	b.out.SetEscapeHTML(false)
	turns, last := []contender{{name: baseline}}, []contender(nil)
	for _, c := range contenders() {
		switch {
		case !wanted.MatchString(c.name):
		case c.last:
			last = append(last, c)
		default:
			turns = append(turns, c)
		}
	}
	for round := range rounds {
		for i := range turns {
			if err := b.one(ctx, round, turns[(i+round)%len(turns)]); err != nil {
				return err
			}
		}
	}
	for _, c := range last {
		for round := range rounds {
			if err := b.one(ctx, round, c); err != nil {
				return err
			}
		}
	}
	return nil
}

type bench struct {
	kernel string
	out    *json.Encoder
	failed map[string]bool
}

// one does all the work under one contender. One that cannot run here has that said,
// and is left out from then on.
func (b *bench) one(ctx context.Context, round int, c contender) error {
	if b.failed[c.name] {
		return nil
	}
	say := func(name string, value float64, why string) error {
		return b.out.Encode(sample{Kernel: b.kernel, Contender: c.name, Command: strings.Join(c.argv, " "),
			Measure: name, Round: round, Value: value, Why: why})
	}
	var s *session
	if c.name != baseline {
		var took time.Duration
		var err error
		if s, took, err = c.begin(ctx); err != nil {
			b.failed[c.name] = true
			return say(cannotRun, 0, err.Error())
		}
		if err := say("start", took.Seconds(), ""); err != nil {
			return err
		}
	}
	for _, m := range measures() {
		took, err := m.seconds(ctx)
		if err != nil {
			return fmt.Errorf("%s under %s: %w", m.name, c.name, err)
		}
		if err := say(m.name, took, ""); err != nil {
			return err
		}
	}
	if s == nil {
		return nil
	}
	took, err := s.end()
	if err != nil {
		return err
	}
	return say("stop", took.Seconds(), "")
}

// cannotRun is the measure of a contender that could not be started.
const cannotRun = "cannot run"
