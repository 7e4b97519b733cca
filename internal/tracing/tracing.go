// Package tracing attaches for the commands, and says why that is not possible. A context may lend
// a tracer, so that many commands share one.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// Open attaches. An error is a [cli.UnableError]; nothing is left attached then.
func Open(backend tracer.Backend) (*tracer.Tracer, error) {
	t, err := tracer.Open(&tracer.Options{Backend: backend})
	if err != nil {
		return nil, Error(err)
	}
	// What the kernel's types took while the programs were loaded is not needed again.
	memory.Release()
	useOneProcessor()
	return t, nil
}

// useOneProcessor has Go code run on one processor at a time from now on: what reads and explains events
// mostly waits, and with more than one the runtime looks for work on each whenever it is woken. The ring
// keeps what comes meanwhile.
func useOneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// Lent gives a command a tracer that was attached before it and stays attached after
// it. The tests on a kernel lend one to many commands, because attaching takes longer
// there than what most commands do.
type Lent func(tracer.Backend) (*tracer.Tracer, error)

type lentTracerKey struct{}

// Lend gives the commands that run in the context a tracer.
func Lend(ctx context.Context, lent Lent) context.Context {
	return context.WithValue(ctx, lentTracerKey{}, lent)
}

// Borrow is [Open], unless the context lends a tracer. giveBack closes what
// was opened here.
func Borrow(ctx context.Context, backend tracer.Backend) (t *tracer.Tracer, giveBack func() error, err error) {
	if lent, ok := ctx.Value(lentTracerKey{}).(Lent); ok {
		t, err := lent(backend)
		return t, func() error { return nil }, err
	}
	if t, err = Open(backend); err != nil {
		return nil, nil, err
	}
	return t, t.Close, nil
}

type lentKernelKey struct{}

// LendKernel gives the commands, and the parts of one, that run in the context the same facts
// about this kernel. Its list of symbols alone takes longer to read than most causes to find.
func LendKernel(ctx context.Context, k *kernel.Kernel) context.Context {
	return context.WithValue(ctx, lentKernelKey{}, k)
}

// Kernel opens the running kernel, unless the context lends it.
func Kernel(ctx context.Context) (*kernel.Kernel, error) {
	if k, ok := ctx.Value(lentKernelKey{}).(*kernel.Kernel); ok {
		return k, nil
	}
	return kernel.Open(nil)
}

// Error says why tracing is not possible here, in one line.
func Error(err error) error {
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
	return cli.Unable(fmt.Errorf("cannot trace here: %w", cells.OneLine(err)), hint)
}

// backendValue is a flag's value.
type backendValue struct{ *tracer.Backend }

func (v backendValue) Set(s string) (err error) {
	*v.Backend, err = tracer.ParseBackend(s)
	return err
}

func (backendValue) Type() string { return "BACKEND" }

// AddBackendFlag adds --backend.
func AddBackendFlag(cmd *cobra.Command, backend *tracer.Backend) {
	cmd.Flags().Var(backendValue{backend}, "backend", "how to hook the kernel: auto, fentry or kprobe")
	words := []string{tracer.Auto.String(), tracer.Fentry.String(), tracer.Kprobe.String()}
	cli.MustComplete(cmd, "backend", words)
}
