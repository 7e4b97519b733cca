package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// askLoss lets each contender watch the storms, and compares what it says with what was
// done.
func askLoss(ctx context.Context, b *bench, group []contender) error {
	for _, s := range storms() {
		for _, c := range group {
			if err := b.watchStorm(ctx, c, s); err != nil {
				return fmt.Errorf("%s under %s: %w", s.name, c.name, err)
			}
		}
	}
	for _, c := range group {
		if c.exact == nil {
			continue
		}
		if err := b.overrun(ctx, c); err != nil {
			return fmt.Errorf("overrun of %s: %w", c.name, err)
		}
	}
	return nil
}

// watchStorm reports the reader's cost too, for storms have the most to read.
func (b *bench) watchStorm(ctx context.Context, c contender, st storm) error {
	var rest, atEnd usage
	var r stormResult
	s, err := b.with(ctx, c, nil, func(s *session) (err error) {
		s.forgetPeak()
		rest = s.usage()
		r, err = b.runStorm(ctx, st.name, b.size(st), hardships(s, st.name))
		atEnd = s.usage()
		return err
	})
	if s == nil || err != nil {
		return err
	}
	claimed, err := s.claimed(ctx)
	if err != nil {
		return err
	}
	v := judge(r.Did, claimed)
	told, err := toldLost()
	if err != nil {
		return err
	}
	for measure, n := range map[string]int{"done": v.done, "lost": v.lost, "invented": v.invented, "wrong": v.wrong, "told": told} {
		if err := b.say(c.name, lossPart, st.name+" "+measure, 0, float64(n), ""); err != nil {
			return err
		}
	}
	return errors.Join(
		b.say(c.name, lossPart, st.name+" seconds", 0, r.Took.Seconds(), ""),
		b.say(c.name, readerPart, st.name+" CPU", 0, (s.whole()-rest.cpu)/float64(v.done)*1000, ""),
		b.say(c.name, readerPart, st.name+" at rest", 0, rest.resident, ""),
		b.say(c.name, readerPart, st.name+" peak", 0, atEnd.peak, ""))
}

// size of a storm, which a run to try the benchmark itself makes smaller.
func (b *bench) size(st storm) int { return max(st.n/b.less, 8) }

// hardship is what the reader has to bear from some quarter of the storm on, until the
// next one begins. It ends when its context does.
type hardship func(context.Context)

// hardships of the storm of cycles: none, then a reader that has only half of the time,
// then one that is stopped for a second, then two others that want both CPUs.
func hardships(s *session, storm string) []hardship {
	if storm != "cycles" {
		return nil
	}
	return []hardship{s.slowed, s.paused, hogged}
}

func (s *session) slowed(ctx context.Context) {
	for ctx.Err() == nil {
		s.signal(syscall.SIGSTOP)
		time.Sleep(20 * time.Millisecond)
		s.signal(syscall.SIGCONT)
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *session) paused(context.Context) {
	s.signal(syscall.SIGSTOP)
	time.Sleep(time.Second)
	s.signal(syscall.SIGCONT)
}

func hogged(ctx context.Context) {
	for range 2 {
		hog := exec.CommandContext(ctx, "/bin/busybox", "sh", "-c", "while :; do :; done")
		if hog.Start() == nil {
			defer hog.Wait()
		}
	}
	<-ctx.Done()
}

// runStorm has another process make the storm; each quarter brings the next hardship.
func (b *bench) runStorm(ctx context.Context, name string, n int, hardships []hardship) (r stormResult, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "--storm", name, "--n", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	relief := func() {}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if bytes.Equal(lines.Bytes(), []byte("quarter")) {
			relief()
			relief = func() {}
			if len(hardships) > 0 {
				relief = bear(ctx, hardships[0])
				hardships = hardships[1:]
			}
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return r, fmt.Errorf("the storm said %.200q: %w", lines.Bytes(), err)
		}
	}
	relief()
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// bear begins a hardship and gives what ends it.
func bear(ctx context.Context, h hardship) (relief func()) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h(ctx)
	}()
	return func() {
		stop()
		<-done
	}
}

// overrun stops the reader for so long that there is no room for what happens, and
// compares what it says that it lost with what is missing. Each cycle has the same
// number of events, which the few show that come first.
func (b *bench) overrun(ctx context.Context, c contender) error {
	const many = 1500
	c.argv = append(slices.Clone(c.argv), c.exact...)
	var seen []int // after each stage
	count := func(s *session) hardship {
		return func(context.Context) {
			if s.settle() == nil {
				seen = append(seen, shownEvents())
			}
		}
	}
	s, err := b.with(ctx, c, nil, func(s *session) error {
		stop := func(ctx context.Context) {
			count(s)(ctx)
			s.signal(syscall.SIGSTOP)
		}
		defer s.signal(syscall.SIGCONT)
		_, err := b.runStorm(ctx, "stages", many, []hardship{count(s), stop})
		return err
	})
	if s == nil || err != nil {
		return err
	}
	if len(seen) != 2 || (seen[1]-seen[0])%fewCycles != 0 {
		return fmt.Errorf("events after %d and %d cycles: %d: not the same number each", fewCycles, 2*fewCycles, seen)
	}
	told, err := toldLost()
	if err != nil {
		return err
	}
	made := (seen[1] - seen[0]) / fewCycles * many
	missing := made - (shownEvents() - seen[1])
	return errors.Join(
		b.say(c.name, lossPart, "overrun events", 0, float64(made), ""),
		b.say(c.name, lossPart, "overrun missing", 0, float64(missing), ""),
		b.say(c.name, lossPart, "overrun told", 0, float64(told), ""))
}

func shownEvents() int {
	text, _ := os.ReadFile(outputFile)
	return bytes.Count(text, []byte("\n"))
}

// toldLost is how many events the contender said that it had lost: kmodtrace does, when it
// ends.
func toldLost() (int, error) {
	complaint, err := os.ReadFile(errorsFile)
	if err != nil {
		return 0, err
	}
	m := lostEvents.FindSubmatch(complaint)
	if m == nil {
		return 0, nil
	}
	return strconv.Atoi(string(m[1]))
}

var lostEvents = regexp.MustCompile(`\blost (\d+) events?\b`)
