package tracer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Watch until Ctrl-C, and say what was lost.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	t, err := tracer.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	for action, err := range t.Actions(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(action.Time, action.Kind, action.Module, action.Outcome, action.ErrnoName)
	}
	if loss, err := t.Loss(); err == nil && loss.Any() {
		fmt.Printf("lost: %+v\n", loss)
	}
}

// What to tell someone whose kernel cannot be traced.
func ExampleOpen() {
	t, err := tracer.Open(&tracer.Options{Backend: tracer.Kprobe})
	var coverage *tracer.CoverageError
	switch {
	case errors.Is(err, tracer.ErrPrivilege):
		fmt.Println("run it as root")
		return
	case errors.As(err, &coverage):
		for _, h := range coverage.Coverage.Missing() {
			fmt.Printf("without %s %s there is no telling %s\n", h.How, h.Target, h.Tells)
		}
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	defer t.Close()
	for _, h := range t.Coverage().Degraded() {
		fmt.Printf("not seen here: %s\n", h.Tells)
	}
}

// Events from elsewhere make actions without a kernel.
func ExampleCorrelator() {
	thread := tracer.Thread{TID: 4121, PID: 4121, Comm: "rmmod"}
	c := tracer.NewCorrelator(0)
	for _, e := range []tracer.Event{
		{Kind: tracer.KindEnter, Time: 100, Attempt: 100, Thread: thread,
			Enter: &tracer.Enter{Call: tracer.DeleteModule, Text: "hello"}},
		{Kind: tracer.KindLeave, Time: 160, Attempt: 100, Thread: thread,
			Return: &tracer.Return{Value: -2, Call: tracer.DeleteModule}},
	} {
		for _, a := range c.Add(e) {
			fmt.Println(a.Kind, a.Module, a.Outcome, a.ErrnoName, a.Took)
		}
	}
	fmt.Println(len(c.Pending()), "pending")
	// Output:
	// unload hello failed ENOENT 60ns
	// 0 pending
}
