package lab

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
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
		{"a signal for the host", []guest.Frame{{Kind: guest.Signal, Payload: []byte{9, 0, 0, 0}}, done}, false, guest.ErrGarbage},
		{"a frame of the other direction", []guest.Frame{{Kind: guest.Stdin}, done}, false, guest.ErrGarbage},
		{"no exit status", []guest.Frame{out, done}, false, guest.ErrGarbage},
		{"a negative status", []guest.Frame{{Kind: guest.Exit, Payload: []byte(`{"Status":-256}`)}, done}, false, guest.ErrGarbage},
		{"a status of two bytes", []guest.Frame{{Kind: guest.Exit, Payload: []byte(`{"Status":256}`)}, done}, false, guest.ErrGarbage},
		{"a long status", []guest.Frame{{Kind: guest.Exit, Payload: []byte(strings.Repeat(" ", guest.MaxPayload-2) + "{}")}, done}, false, guest.ErrGarbage},
		{"two statuses", []guest.Frame{exit, {Kind: guest.Exit, Payload: []byte(`{"Status":0}`)}, done}, false, guest.ErrGarbage},
		{"files that nobody wants", []guest.Frame{{Kind: guest.Files, Payload: []byte("x")}, exit, done}, false, guest.ErrGarbage},
		{"two starts", []guest.Frame{{Kind: guest.Started}, {Kind: guest.Started}, exit, done}, false, guest.ErrGarbage},
		{"credit for what was not sent", []guest.Frame{{Kind: guest.Credit, Payload: []byte{1, 0, 0, 0}}, exit, done}, false, guest.ErrGarbage},
		{"credit of 4 GiB", []guest.Frame{{Kind: guest.Credit, Payload: []byte{0xff, 0xff, 0xff, 0xff}}, exit, done}, false, guest.ErrGarbage},
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

// TestSessionStarted: a guest that only answers, or leaves something out, has started nothing yet.
func TestSessionStarted(t *testing.T) {
	note := guest.Frame{Kind: guest.Note, Payload: []byte("x")}
	for name, c := range map[string]struct {
		frames []guest.Frame
		want   int
	}{
		"answers":     {nil, 0},
		"notes":       {[]guest.Frame{note, note}, 0},
		"starts":      {[]guest.Frame{note, {Kind: guest.Started}, {Kind: guest.Stdout}}, 1},
		"cannot":      {[]guest.Frame{{Kind: guest.Trouble, Payload: []byte("x")}}, 1},
		"has its end": {[]guest.Frame{{Kind: guest.Exit, Payload: []byte(`{}`)}, {Kind: guest.Done}}, 1},
	} {
		var starts int
		s := newSession(io.Discard, io.Discard, nil)
		if err := s.receive(said(t, c.frames...), func() { starts++ }); err != nil && err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if starts != c.want {
			t.Errorf("%s: started %d times, want %d", name, starts, c.want)
		}
	}
}

// TestSessionKeepsFewSentences: a guest that complains without end takes no memory.
func TestSessionKeepsFewSentences(t *testing.T) {
	frames := []guest.Frame{}
	for range 1000 {
		frames = append(frames, guest.Frame{Kind: guest.Trouble, Payload: bytes.Repeat([]byte("x"), guest.MaxPayload)},
			guest.Frame{Kind: guest.Note, Payload: bytes.Repeat([]byte("x"), guest.MaxPayload)})
	}
	s := newSession(io.Discard, io.Discard, nil)
	if err := s.receive(said(t, frames...), func() {}); err != io.EOF {
		t.Error(err)
	}
	for _, all := range [][]error{s.trouble.all(), s.notes.all()} {
		if text := errors.Join(all...).Error(); len(text) > 64<<10 || !strings.HasSuffix(text, "and 968 more") {
			t.Errorf("%d bytes, which end %q", len(text), text[max(0, len(text)-40):])
		}
	}
}

// TestSessionKeepsFewFiles: one that brings files back without end is stopped.
func TestSessionKeepsFewFiles(t *testing.T) {
	c := newCollector([]Bring{{Guest: "/a", Directory: t.TempDir()}}, bringLimits{bytes: 1 << 20, files: 10})
	s := newSession(io.Discard, io.Discard, c)
	piece := guest.Frame{Kind: guest.Files, Payload: make([]byte, guest.MaxPayload)}
	var err error
	for sent := 0; err == nil; sent += len(piece.Payload) {
		if sent > 100<<20 {
			t.Fatal("it takes all of it")
		}
		err = s.handle(piece)
	}
	if !errors.Is(err, guest.ErrGarbage) {
		t.Error(err)
	}
	if err := c.close(io.ErrUnexpectedEOF, time.Minute); err == nil {
		t.Error("zeros are an archive")
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
	go func() { ended <- s.send(strings.NewReader(input), guest.NewWriter(w), nil) }()

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
			if err := s.input.give(uint32(underWay)); err != nil {
				t.Fatal(err)
			}
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
	go func() {
		ended <- s.send(strings.NewReader(strings.Repeat("x", 1<<20)), guest.NewWriter(io.Discard), stop)
	}()
	close(stop) // no credit will come any more
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(await.Bound):
		t.Error("still waiting for credit")
	}
}

// FuzzSession: whatever comes over the port, the session ends without a panic, and only a
// guest that gave its exit status is done.
func FuzzSession(f *testing.F) {
	var port bytes.Buffer
	w := guest.NewWriter(&port)
	for kind := range guest.Signal + 2 {
		port.Reset()
		for _, payload := range []string{"x", `{"Status":1}`, "\x01\x00\x00\x00", ""} {
			if err := w.Write(kind, []byte(payload)); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(bytes.Clone(port.Bytes()))
	}
	for _, c := range hostileArchives(f) {
		port.Reset()
		if _, err := w.Stream(guest.Files).Write(c.data[:min(len(c.data), 4096)]); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(port.Bytes()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newCollector([]Bring{{Guest: "/tmp/a", Directory: t.TempDir()}}, bringLimits{100_000, 20})
		s := newSession(io.Discard, io.Discard, c)
		err := s.receive(io.MultiReader(strings.NewReader(guest.Preamble), bytes.NewReader(data)), func() {})
		if (err == nil) != s.done || s.done && s.exited.IsZero() {
			t.Errorf("done %t, exited %v, %v", s.done, s.exited, err)
		}
		if s.status.Status < 0 || s.status.Status > 255 {
			t.Errorf("status %+v", s.status)
		}
		_ = c.close(cutOff(s.done), time.Minute)
	})
}
