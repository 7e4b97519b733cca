package lab

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// said is the port after a guest said these frames.
func said(t *testing.T, frames ...guest.Frame) *bytes.Buffer {
	t.Helper()
	port := new(bytes.Buffer)
	w := guest.NewWriter(port)
	if err := w.Open(); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.Write(f.Kind, f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return port
}

func TestSessionReceives(t *testing.T) {
	out := guest.Frame{Kind: guest.Stdout, Payload: []byte("out")}
	exit := guest.Frame{Kind: guest.Exit, Payload: []byte(`{"Status":139,"Signal":11}`)}
	done := guest.Frame{Kind: guest.Done}
	for _, c := range []struct {
		name   string
		frames []guest.Frame
		done   bool
		err    error
	}{
		{"whole", []guest.Frame{out, exit, done}, true, nil},
		{"no done marker", []guest.Frame{out, exit}, false, io.EOF},
		{"nothing", nil, false, io.EOF},
		{"an unknown kind", []guest.Frame{{Kind: 99}, done}, false, guest.ErrGarbage},
		{"a frame of the other direction", []guest.Frame{{Kind: guest.Stdin}, done}, false, guest.ErrGarbage},
		{"a status that is none", []guest.Frame{{Kind: guest.Exit, Payload: []byte("x")}, done}, false, nil},
		{"credit that is none", []guest.Frame{{Kind: guest.Credit, Payload: []byte("x")}, done}, false, guest.ErrGarbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			s := newSession(&stdout, &stderr, nil)
			err := s.receive(said(t, c.frames...), func() {})
			if s.done != c.done || c.err != nil && !errors.Is(err, c.err) || (err == nil) != c.done {
				t.Errorf("done %v, error %v", s.done, err)
			}
			if c.done && (s.status.Status != 139 || stdout.String() != "out" || stderr.Len() > 0) {
				t.Errorf("status %+v, stdout %q, stderr %q", s.status, &stdout, &stderr)
			}
		})
	}
}

func TestSessionStopsAtAClosedOutput(t *testing.T) {
	s := newSession(&fullDisk{}, io.Discard, nil)
	err := s.receive(said(t, guest.Frame{Kind: guest.Stdout, Payload: []byte("x")}, guest.Frame{Kind: guest.Done}), func() {})
	var w *writeError
	if !errors.As(err, &w) || !errors.Is(err, io.ErrShortWrite) || s.done {
		t.Errorf("got %v, done %v", err, s.done)
	}
}

// The guest's tty layer drops what does not fit: the host must never have more
// under way than the window.
func TestInputStaysInTheWindow(t *testing.T) {
	input := strings.Repeat("0123456789abcdef", 16<<10)
	r, w := io.Pipe()
	s := newSession(io.Discard, io.Discard, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.send(strings.NewReader(input), w, nil) }()

	frames := guest.NewReader(r)
	var got strings.Builder
	underWay := 0
	for {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == guest.StdinEnd {
			break
		}
		got.Write(f.Payload)
		if underWay += len(f.Payload); underWay > guest.Window {
			t.Fatalf("%d bytes under way, the window is %d", underWay, guest.Window)
		}
		if underWay == guest.Window {
			s.credit <- underWay
			underWay = 0
		}
	}
	if got.String() != input {
		t.Errorf("%d bytes arrived of %d", got.Len(), len(input))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestInputEndsWithTheRun(t *testing.T) {
	s := newSession(io.Discard, io.Discard, nil)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.send(strings.NewReader(strings.Repeat("x", 1<<20)), io.Discard, stop) }()
	close(stop) // no credit will come any more
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still waiting for credit")
	}
}
