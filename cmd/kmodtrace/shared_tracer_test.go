package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// sharedTracer is attached when the first command of a test borrows it, and until that
// test ends. What one command leaves unread the next one does not see: in a script it is
// skipped up to a fence, and elsewhere it is of another thread.
type sharedTracer struct {
	t      *testing.T
	tr     *tracer.Tracer
	kernel *kernel.Kernel // what it is changes no more than the tracer
	beside *besideCommand // nil if there is none
}

// besideCommand runs while a script goes on.
type besideCommand struct {
	interrupt context.CancelFunc
	ended     chan struct{} // closed; the rest is valid then
	status    int
	out, errs bytes.Buffer
}

// lend is a lentTracer.
func (s *sharedTracer) lend(backend tracer.Backend) (*tracer.Tracer, error) {
	if backend != tracer.Auto {
		return nil, fmt.Errorf("--backend %s needs a tracer of its own", backend)
	}
	if s.tr == nil {
		var err error
		if s.tr, err = tracing.Open(backend); err != nil {
			return nil, err
		}
		s.t.Cleanup(func() {
			if err := s.tr.Close(); err != nil {
				s.t.Error(err)
			}
		})
	}
	return s.tr, nil
}

// other is the backend that auto does not choose on this kernel, or the only one.
func (s *sharedTracer) other() tracer.Backend {
	t, err := s.lend(tracer.Auto)
	if err != nil {
		s.t.Fatal(err)
	}
	if t.Coverage().Backend == tracer.Kprobe && tracer.HaveFentry() == nil {
		return tracer.Fentry
	}
	return tracer.Kprobe
}

// context lends the tracer, and what was read of the kernel.
func (s *sharedTracer) context(ctx context.Context) context.Context {
	if s.kernel == nil {
		var err error
		if s.kernel, err = kernel.Open(nil); err != nil {
			s.t.Error(err) // as each command would say
			return tracing.Lend(ctx, s.lend)
		}
	}
	return tracing.LendKernel(tracing.Lend(ctx, s.lend), s.kernel)
}

// run is the whole command, but for attaching.
func (s *sharedTracer) run(args []string, stdout, stderr io.Writer) int {
	return runIn(s.context(context.Background()), args, nil, stdout, stderr)
}

// script is the command shared.
func (s *sharedTracer) script(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: shared STATUS COMMAND... [>FILE]")
	}
	if s.beside != nil {
		ts.Fatalf("the tracer is lent to what is beside")
	}
	ts.Check(s.skipRead())
	here, err := os.Getwd()
	ts.Check(err)
	ts.Check(os.Chdir(ts.MkAbs(".")))
	defer func() { ts.Check(os.Chdir(here)) }()
	stdout := ts.Stdout()
	if name, ok := strings.CutPrefix(args[len(args)-1], ">"); ok {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		ts.Check(err)
		defer f.Close()
		args, stdout = args[:len(args)-1], f
	}
	wantStatus(ts, args[0], s.run(args[1:], stdout, ts.Stderr()))
}

func wantStatus(ts *testscript.TestScript, want string, status int) {
	if strconv.Itoa(status) != want {
		ts.Fatalf("exit status %d, want %s", status, want)
	}
}

// begin is the command beside.
func (s *sharedTracer) begin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: beside COMMAND...")
	}
	if s.beside != nil {
		ts.Fatalf("something is beside already")
	}
	ts.Check(s.skipRead())
	ready := filepath.Join(ts.MkAbs("."), "beside_is_ready")
	if err := os.Remove(ready); !errors.Is(err, os.ErrNotExist) { // of one before
		ts.Check(err)
	}
	ctx, interrupt := context.WithCancel(s.context(context.Background()))
	c := &besideCommand{interrupt: interrupt, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.status = runIn(ctx, append(args, "--ready-file", ready), nil, &c.out, &c.errs)
	}()
	s.beside = c
	ts.Defer(func() { // where the script fails before it has ended
		interrupt()
		<-c.ended
		if s.beside == c {
			s.beside = nil
		}
	})
	came := await.True(func() bool {
		_, err := os.Stat(ready)
		return err == nil || c.hasEnded()
	})
	if !came || c.hasEnded() {
		ts.Fatalf("%q is not ready, or has ended", args)
	}
}

func (c *besideCommand) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// skipRead reads what earlier commands left, up to an unload of a name that nothing else has.
func (s *sharedTracer) skipRead() error {
	t, err := s.lend(tracer.Auto)
	if err != nil {
		return err
	}
	name := "test_fence_" + rand.Text()
	for err = unix.EINTR; err == unix.EINTR; { // by the runtime's own signals
		err = unix.DeleteModule(name, unix.O_NONBLOCK)
	}
	if !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	for a, err := range t.Actions(context.Background()) {
		if err != nil {
			return err
		}
		if a.Module == name && a.Errno == unix.ENOENT {
			break
		}
	}
	return nil
}

// ended is the command of that name.
func (s *sharedTracer) ended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || s.beside == nil {
		ts.Fatalf("usage: ended STATUS, after beside COMMAND...")
	}
	c := s.beside
	<-c.ended
	s.beside = nil
	_, err := ts.Stdout().Write(c.out.Bytes())
	ts.Check(err)
	_, err = ts.Stderr().Write(c.errs.Bytes())
	ts.Check(err)
	wantStatus(ts, args[0], c.status)
}

// interrupted is the command of that name.
func (s *sharedTracer) interrupted(ts *testscript.TestScript, neg bool, args []string) {
	if s.beside != nil {
		s.beside.interrupt()
	}
	s.ended(ts, neg, args)
}
