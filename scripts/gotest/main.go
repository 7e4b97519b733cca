// Command gotest runs go test and says what came of it, for people and for CI:
// what failed with its output, what was skipped with its reason, a line for each
// package, and at the end "N passed, N failed, N skipped". Its exit status is go
// test's own.
//
//	go run ./scripts/gotest [--tally FILE] [--stall TIME] [--limit TIME] ARGUMENTS OF GO TEST...
//
// A test with subtests counts through them, and itself only when it failed
// for a reason of its own. A package that does not build, panics or is killed counts
// as one failure. Running no test at all is a failure too.
//
// A test has no time limit of its own, as a busy machine makes each one slow (a -timeout
// among the arguments counts, though). A package that says nothing for --stall TIME (15m)
// hangs: gotest says which of its tests run, has their stacks printed by SIGQUIT, and a
// minute later ends them by SIGTERM, then by SIGKILL. The package has failed then. So it is
// with all that still run after --limit TIME (3h).
//
// gotestsum, looked at in its version 1.13, lists each skipped test by itself (a run here has some
// 90, for a few reasons), counts a test beside its subtests, and cannot add up several runs.
//
// With --tally the three numbers are appended to FILE, so that several runs can be
// added up, and what failed to FILE.failures.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "gotest: %v\n", err)
	}
	os.Exit(status)
}

// options are the command's own.
type options struct {
	tally string
	stall time.Duration // what a package may be silent
	limit time.Duration // of the whole run
	grace time.Duration // between one signal to a test that hangs, and the next

	dir string   // where go test runs, "" for here
	env []string // nil for this process's own
}

// parse takes the command's own options off the arguments: they come first.
func parse(args []string) (options, []string, error) {
	o := options{stall: 15 * time.Minute, limit: 3 * time.Hour, grace: time.Minute}
	for len(args) >= 2 {
		var err error
		switch args[0] {
		case "--tally":
			o.tally = args[1]
		case "--stall":
			o.stall, err = time.ParseDuration(args[1])
		case "--limit":
			o.limit, err = time.ParseDuration(args[1])
		default:
			return o, args, nil
		}
		if err == nil && (o.stall <= 0 || o.limit <= 0) {
			err = errors.New("want more than no time")
		}
		if err != nil {
			return o, nil, fmt.Errorf("%s %s: %w", args[0], args[1], err)
		}
		args = args[2:]
	}
	return o, args, nil
}

// run is the whole command. An error of its own has an exit status that is not 0.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	opts, args, err := parse(args)
	if err != nil {
		return 2, err
	}
	return opts.run(ctx, args, stdout, stderr)
}

func (o *options) run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	report := newReport(stdout)
	status, err := o.goTest(ctx, args, report, stderr)
	if err != nil {
		return max(status, 1), err
	}
	count := report.finish()
	if o.tally != "" {
		if err := report.addTo(o.tally); err != nil {
			return max(status, 1), err
		}
	}
	if status == 0 && count.total() == 0 {
		return 1, errors.New("no test ran")
	}
	if status == 0 && len(report.hung) > 0 {
		return 1, nil
	}
	return status, nil
}

// goTest runs go test -json into the report and gives its exit status. An interrupt
// reaches go test as one, so that it ends its tests (and their machines) itself.
func (o *options) goTest(ctx context.Context, args []string, report *report, stderr io.Writer) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Of two time-outs, go test takes the last.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-timeout=0"}, args...)...)
	cmd.Dir, cmd.Env = o.dir, o.env
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	stop := o.watch(ctx, report, cmd.Process.Pid, cancel)
	readErr := report.read(out)
	err = cmd.Wait()
	stop()
	if cause := context.Cause(ctx); errors.Is(cause, errLimit) {
		return 1, cause
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), readErr
	}
	if err = errors.Join(readErr, err); err != nil {
		return 1, err
	}
	return 0, nil
}

// errLimit ends a run that nothing else has ended.
var errLimit = errors.New("the run does not end")

// watch ends the tests that hang, until stop is called: those of one package that is
// silent, and at the limit of the whole run all. What is left then is not a test: go test
// itself is ended.
func (o *options) watch(ctx context.Context, report *report, pid int, cancel context.CancelCauseFunc) (stop func()) {
	ctx, done := context.WithCancel(ctx)
	e := &ender{dir: o.dir, env: o.env, parent: pid, grace: o.grace, say: report.say}
	end := func(s stall) {
		report.hangs(s)
		e.end(ctx, s)
	}
	var group sync.WaitGroup
	group.Go(func() { report.watch.follow(ctx, o.stall, end) })
	group.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(o.limit):
		}
		report.say("gotest: the whole run did not end within %v\n", o.limit)
		for _, s := range report.watch.silent(0) {
			group.Go(func() { end(s) })
		}
		select {
		case <-ctx.Done():
		case <-time.After(4 * o.grace):
			e.endAll(func() { cancel(errLimit) })
		}
	})
	return func() { done(); group.Wait() }
}
