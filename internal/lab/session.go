package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// session is the host's side of the results port, for one run. The guest may be hostile:
// whatever it sends takes a bounded amount of memory, and what the protocol does not allow
// ends the run.
type session struct {
	stdout, stderr io.Writer
	collect        *collector // nil when nothing is brought back
	most           int64      // bytes of the stream that it takes
	input          *window

	ready     time.Time // when the guest's init answered
	begun     bool      // the command was started
	exited    time.Time // when its command had ended
	done      bool      // the guest said all that it had to say
	status    guest.ExitStatus
	trouble   sentences
	notes     sentences
	abandoned atomic.Bool // nobody waits for it any more
}

// maxExit is what the JSON of an exit status may have.
const maxExit = 256

func newSession(stdout, stderr io.Writer, collect *collector) *session {
	s := &session{stdout: stdout, stderr: stderr, collect: collect, input: newWindow()}
	if collect != nil {
		s.most = collect.staged.limits.bytes + 64<<20
	}
	return s
}

// sentences are what the guest says in words, as far as that is worth keeping.
type sentences struct {
	kept []error
	more int
}

const (
	maxSentences = 32
	maxSentence  = 1 << 10 // as [guest] cuts them
)

func (s *sentences) add(text []byte) {
	if len(s.kept) == maxSentences {
		s.more++
		return
	}
	s.kept = append(s.kept, errors.New(string(text[:min(len(text), maxSentence)])))
}

func (s *sentences) all() []error {
	if s.more == 0 {
		return s.kept
	}
	return append(s.kept, fmt.Errorf("and %d more", s.more))
}

// receive reads the guest's frames until it is done. The error is about the
// port or about where the output goes; the guest's own are in trouble. It calls started once, as
// soon as the guest has started the command, or says that it cannot.
func (s *session) receive(port io.Reader, started func()) error {
	frames := guest.NewReader(bufio.NewReaderSize(port, 64<<10))
	if err := frames.Sync(); err != nil {
		return err
	}
	s.ready = time.Now()
	started = sync.OnceFunc(started)
	for !s.done && !s.abandoned.Load() {
		frame, err := frames.Next()
		if err != nil {
			return err
		}
		if frame.Kind != guest.Note {
			started()
		}
		if err := s.handle(frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) handle(frame guest.Frame) error {
	switch frame.Kind {
	case guest.Started:
		if s.begun {
			return refusedFrame("a command that starts twice")
		}
		s.begun = true
	case guest.Stdout:
		_, err := s.stdout.Write(frame.Payload)
		return outputError(err)
	case guest.Stderr:
		_, err := s.stderr.Write(frame.Payload)
		return outputError(err)
	case guest.Files:
		return s.files(frame.Payload)
	case guest.Trouble:
		s.trouble.add(frame.Payload)
	case guest.Note:
		s.notes.add(frame.Payload)
	case guest.Credit:
		n, err := frame.Uint()
		if err != nil {
			return err
		}
		return s.input.give(n)
	case guest.Exit:
		return s.exit(frame.Payload)
	case guest.Done:
		if s.exited.IsZero() {
			return refusedFrame("done without an exit status")
		}
		s.done = true
	default:
		return refusedFrame(frame.Kind.String() + " from a guest")
	}
	return nil
}

// refusedFrame is a frame that the protocol does not allow. It is [guest.ErrGarbage] for
// errors.Is.
type refusedFrame string

func (r refusedFrame) Error() string        { return "frame refused: " + string(r) }
func (r refusedFrame) Is(target error) bool { return target == guest.ErrGarbage }

// files takes a piece of what is brought back. That it cannot be unpacked shows in the
// collector's close: the command's exit status is still to come.
func (s *session) files(piece []byte) error {
	if s.collect == nil || !s.exited.IsZero() {
		return refusedFrame("files that nobody asked for")
	}
	if s.most -= int64(len(piece)); s.most < 0 {
		return refusedFrame("more files than may be brought back")
	}
	s.collect.write(piece)
	return nil
}

func (s *session) exit(payload []byte) error {
	if !s.exited.IsZero() || len(payload) > maxExit {
		return refusedFrame("a second exit status, or a long one")
	}
	var status guest.ExitStatus
	if err := json.Unmarshal(payload, &status); err != nil {
		return fmt.Errorf("exit status: %w: %w", err, guest.ErrGarbage)
	}
	if status.Status < 0 || status.Status > 255 || status.Signal < 0 || status.Signal > 127 {
		return refusedFrame(fmt.Sprintf("exit status %d, signal %d", status.Status, status.Signal))
	}
	s.status, s.exited = status, time.Now()
	return nil
}

func outputError(err error) error {
	if err != nil {
		return &writeError{err}
	}
	return nil
}

// writeError is an output that does not take the guest's: a closed pipe, a
// full disk.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write the guest's output: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// window is how much of standard input may still be sent.
type window struct {
	mu   sync.Mutex
	room int
	more chan struct{} // holds one when there is more room
}

func newWindow() *window {
	return &window{room: guest.Window, more: make(chan struct{}, 1)}
}

// give takes the guest's credit, which cannot be for more than it was sent.
func (w *window) give(n uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uint64(n) > uint64(guest.Window-w.room) {
		return refusedFrame(fmt.Sprintf("credit for %d bytes of input, where %d are under way", n, guest.Window-w.room))
	}
	w.room += int(n)
	select {
	case w.more <- struct{}{}:
	default:
	}
	return nil
}

// take waits for room for n bytes. It says no when stop is closed before.
func (w *window) take(n int, stop <-chan struct{}) bool {
	for {
		w.mu.Lock()
		enough := w.room >= n
		if enough {
			w.room -= n
		}
		w.mu.Unlock()
		if enough {
			return true
		}
		select {
		case <-w.more:
		case <-stop:
			return false
		}
	}
}

// send hands standard input to the guest, never more than the window at once.
// It ends with the input, or when stop is closed and the input gives something.
func (s *session) send(stdin io.Reader, frames *guest.Writer, stop <-chan struct{}) error {
	buf := make([]byte, guest.Window/4)
	for {
		n, readErr := stdin.Read(buf)
		if n > 0 {
			if !s.input.take(n, stop) {
				return nil
			}
			if err := frames.Write(guest.Stdin, buf[:n]); err != nil {
				return err
			}
		}
		if readErr != nil {
			return frames.Write(guest.StdinEnd, nil)
		}
	}
}
