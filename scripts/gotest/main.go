// Command gotest runs go test and says what came of it, for people and for CI:
// what failed with its output, what was skipped with its reason, a line for each
// package, and at the end "N passed, N failed, N skipped". Its exit status is go
// test's own.
//
//	go run ./scripts/gotest [--tally FILE] ARGUMENTS OF GO TEST...
//
// A test with subtests counts through them, and itself only when it failed
// for a reason of its own. A package that does not build, panics or is killed counts
// as one failure. Running no test at all is a failure too.
//
// gotestsum, looked at in its version 1.13, lists each skipped test by itself (a run here has some
// 90, for a few reasons), counts a test beside its subtests, and cannot add up several runs.
//
// With --tally the three numbers are appended to FILE, so that several runs can be
// added up.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
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

// run is the whole command. An error of its own has an exit status that is not 0.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	var tally string
	if len(args) >= 2 && args[0] == "--tally" {
		tally, args = args[1], args[2:]
	}
	report := newReport(stdout)
	status, err := goTest(ctx, args, report, stderr)
	if err != nil {
		return max(status, 1), err
	}
	count := report.finish()
	if tally != "" {
		if err := count.appendTo(tally); err != nil {
			return max(status, 1), err
		}
	}
	if status == 0 && count.total() == 0 {
		return 1, errors.New("no test ran")
	}
	return status, nil
}

// goTest runs go test -json into the report and gives its exit status. An interrupt
// reaches go test as one, so that it ends its tests (and their machines) itself.
func goTest(ctx context.Context, args []string, report *report, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
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
	readErr := report.read(out)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), readErr
	}
	if err = errors.Join(readErr, err); err != nil {
		return 1, err
	}
	return 0, nil
}
