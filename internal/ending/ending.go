// Package ending has how a command is asked to end: the signals, what asking twice means, and an
// output that closes.
package ending

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/follow"
)

// Signals are those by which a command is asked to end, and cleans up before it does. A
// terminal that is closed asks too, unless whoever started the command chose that (nohup).
func Signals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !follow.Ignores(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Hurry gives a context that is done when somebody asks a second time to end: ctx was
// done by the first time, and what had been queued is too much to wait for. The third
// time, nothing holds it up.
func Hurry(ctx context.Context) (context.Context, context.CancelFunc) {
	hurried, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, Signals()...)
		defer signal.Stop(signals)
		select {
		case <-signals:
			cancel()
			signal.Reset(Signals()...)
		case <-hurried.Done():
		}
	})
	return hurried, func() { stop(); cancel() }
}

// SurviveBrokenPipe makes a closed pipe on standard output a write that fails, as
// for any other file, where Go otherwise ends the process by SIGPIPE: what was
// begun is then finished, and detached, first.
func SurviveBrokenPipe() (restore func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
