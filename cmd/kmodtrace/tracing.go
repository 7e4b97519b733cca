package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// openTracer attaches. An error has the exit status of a kernel, or a user, that
// cannot trace; nothing is left attached then.
func openTracer(backend tracer.Backend) (*tracer.Tracer, error) {
	t, err := tracer.Open(&tracer.Options{Backend: backend})
	if err != nil {
		return nil, noTraceError(err)
	}
	// What the kernel's types took while the programs were loaded is not needed again.
	memory.Release()
	return t, nil
}

// lentTracer gives a command a tracer that was attached before it and stays attached after
// it. The tests on a kernel lend one to many commands, because attaching takes longer
// there than what most commands do.
type lentTracer func(tracer.Backend) (*tracer.Tracer, error)

type lentTracerKey struct{}

// lend gives the commands that run in the context a tracer.
func lend(ctx context.Context, lent lentTracer) context.Context {
	return context.WithValue(ctx, lentTracerKey{}, lent)
}

// borrowTracer is openTracer, unless the context lends a tracer. giveBack closes what
// was opened here.
func borrowTracer(ctx context.Context, backend tracer.Backend) (t *tracer.Tracer, giveBack func() error, err error) {
	if lent, ok := ctx.Value(lentTracerKey{}).(lentTracer); ok {
		t, err := lent(backend)
		return t, func() error { return nil }, err
	}
	if t, err = openTracer(backend); err != nil {
		return nil, nil, err
	}
	return t, t.Close, nil
}

type lentKernelKey struct{}

// lendKernel gives the commands, and the parts of one, that run in the context the same facts
// about this kernel. Its list of symbols alone takes longer to read than most causes to find.
func lendKernel(ctx context.Context, k *kernel.Kernel) context.Context {
	return context.WithValue(ctx, lentKernelKey{}, k)
}

// borrowKernel opens the running kernel, unless the context lends it.
func borrowKernel(ctx context.Context) (*kernel.Kernel, error) {
	if k, ok := ctx.Value(lentKernelKey{}).(*kernel.Kernel); ok {
		return k, nil
	}
	return kernel.Open(nil)
}

// noTraceError says why tracing is not possible here, in one line.
func noTraceError(err error) error {
	if err == nil {
		return nil
	}
	hint := "kmodtrace doctor lists what this kernel offers"
	switch {
	case errors.Is(err, tracer.ErrPrivilege):
		hint = "run it as root, for instance by sudo"
	case errors.Is(err, tracer.ErrNoModules), errors.Is(err, tracer.ErrNoKprobes), errors.Is(err, tracer.ErrNoBTF):
		hint = "kmodtrace lab run boots a kernel that can be traced"
	}
	return &exitError{status: exitNoTrace, err: fmt.Errorf("cannot trace here: %w", cells.OneLine(err)), hint: hint}
}

// backendValue is a flag's value.
type backendValue struct{ *tracer.Backend }

func (v backendValue) Set(s string) (err error) {
	*v.Backend, err = tracer.ParseBackend(s)
	return err
}

func (backendValue) Type() string { return "BACKEND" }

// addBackendFlag adds --backend.
func addBackendFlag(cmd *cobra.Command, backend *tracer.Backend) {
	cmd.Flags().Var(backendValue{backend}, "backend", "how to hook the kernel: auto, fentry or kprobe")
	words := []string{tracer.Auto.String(), tracer.Fentry.String(), tracer.Kprobe.String()}
	cli.MustComplete(cmd, "backend", words)
}

// surviveBrokenPipe makes a closed pipe on standard output a write that fails, as
// for any other file, where Go otherwise ends the process by SIGPIPE: what was
// begun is then finished, and detached, first.
func surviveBrokenPipe() (restore func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
