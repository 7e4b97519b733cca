package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const (
	manyModules   = 300
	manyProcesses = 5000
	manyActions   = 100000
)

// askGrowth measures how the cost of a load grows with what there is much of: modules
// in the kernel, processes, and actions watched before. It is asked of kmodtrace only.
func askGrowth(ctx context.Context, b *bench, group []contender) error {
	i := 0
	for i < len(group) && group[i].exact == nil {
		i++
	}
	if i == len(group) {
		return nil
	}
	c := group[i]
	c.argv = []string{"kmodtrace", "watch", "--json", "--ready-file", readyFile} // the backend that users get
	c.name = "kmodtrace"
	if err := b.grown(ctx, c, "an idle machine"); err != nil {
		return err
	}
	if err := b.withModules(func() error { return b.grown(ctx, c, fmt.Sprintf("%d modules loaded", manyModules)) }); err != nil {
		return err
	}
	if err := b.withProcesses(func() error { return b.grown(ctx, c, fmt.Sprintf("%d processes", manyProcesses)) }); err != nil {
		return err
	}
	return b.manyActions(ctx, c)
}

// grown times the cycle of hello without a tracer and with it.
func (b *bench) grown(ctx context.Context, c contender, what string) error {
	for round := range b.rounds {
		once := func(contender string) error {
			for _, w := range works() {
				if w.name != "hello" {
					continue
				}
				took, err := w.seconds(ctx)
				return errors.Join(err, b.say(contender, growthPart, what, round, took, ""))
			}
			return errors.New("there is no work of hello")
		}
		if err := once(baseline); err != nil {
			return err
		}
		if _, err := b.with(ctx, c, nil, func(*session) error { return once(c.name) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) withModules(do func() error) (err error) {
	dir, err := os.MkdirTemp("", "modules")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := copies(specimen("nap10"), "nap10", dir, max(manyModules/b.less, 1))
	if err != nil {
		return err
	}
	d := newDriver()
	defer func() {
		for m := range d.did {
			if m.action == load && !m.failed {
				err = errors.Join(err, d.unload(m.module))
			}
		}
	}()
	for _, file := range files {
		if err := d.loadFile(file, "ms=0"); err != nil {
			return err
		}
	}
	return do()
}

func (b *bench) withProcesses(do func() error) error {
	var all []*exec.Cmd
	defer func() {
		for _, p := range all {
			_ = p.Process.Signal(syscall.SIGKILL)
			_ = p.Wait()
		}
	}()
	for range max(manyProcesses/b.less, 1) {
		p := exec.Command("/bin/busybox", "sleep", "10000")
		if err := p.Start(); err != nil {
			return err
		}
		all = append(all, p)
	}
	return do()
}

// manyActions has one watch see more and more, and measures after each tenth what an
// action costs, the reader's time for it, and the reader's memory.
func (b *bench) manyActions(ctx context.Context, c contender) error {
	n := max(manyActions/b.less, 100) / 10
	s, err := b.with(ctx, c, nil, func(s *session) error {
		for tenth := 1; tenth <= 10; tenth++ {
			if err := b.moreActions(ctx, s, tenth, n); err != nil {
				return err
			}
		}
		return nil
	})
	if s == nil || err != nil {
		return err
	}
	told, err := s.lines()
	return errors.Join(err, b.say(c.name, growthPart, "actions told", 0, float64(told), ""))
}

func (b *bench) moreActions(ctx context.Context, s *session, tenth, n int) error {
	before := s.usage()
	r, err := b.runStorm(ctx, "unloads", n, nil)
	if err != nil {
		return err
	}
	after := s.usage()
	return errors.Join(
		b.say(s.name, growthPart, "seconds each", tenth, r.Inside.Seconds()/float64(n), ""),
		b.say(s.name, growthPart, "CPU for 1,000", tenth, (after.cpu-before.cpu)/float64(n)*1000, ""),
		b.say(s.name, growthPart, "MiB resident", tenth, after.resident, ""),
		b.say(s.name, growthPart, "actions until now", tenth, float64(tenth*n), ""))
}
