package main

import (
	"context"
	"os"
	"os/signal"
)

// hurry gives a context that is done when somebody asks a second time to end: ctx was
// done by the first time, and what had been queued is too much to wait for. The third
// time, nothing holds it up.
func hurry(ctx context.Context) (context.Context, context.CancelFunc) {
	hurried, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, endingSignals()...)
		defer signal.Stop(signals)
		select {
		case <-signals:
			cancel()
			signal.Reset(endingSignals()...)
		case <-hurried.Done():
		}
	})
	return hurried, func() { stop(); cancel() }
}
