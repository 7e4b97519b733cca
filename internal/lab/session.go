package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// session is the host's side of the results port, for one run.
type session struct {
	stdout, stderr io.Writer
	collect        *collector // nil when nothing is brought back
	credit         chan int

	ready   time.Time // when the guest's init answered
	exited  time.Time // when its command had ended
	done    bool      // the guest said all that it had to say
	status  guest.ExitStatus
	trouble []error
}

func newSession(stdout, stderr io.Writer, collect *collector) *session {
	return &session{stdout: stdout, stderr: stderr, collect: collect, credit: make(chan int, 1024)}
}

// receive reads the guest's frames until it is done. The error is about the
// port or about where the output goes; the guest's own are in trouble.
func (s *session) receive(port io.Reader, booted func()) error {
	frames := guest.NewReader(bufio.NewReaderSize(port, 64<<10))
	if err := frames.Sync(); err != nil {
		return err
	}
	s.ready = time.Now()
	booted()
	for !s.done {
		frame, err := frames.Next()
		if err != nil {
			return err
		}
		if err := s.handle(frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) handle(frame guest.Frame) error {
	switch frame.Kind {
	case guest.Stdout:
		_, err := s.stdout.Write(frame.Payload)
		return outputError(err)
	case guest.Stderr:
		_, err := s.stderr.Write(frame.Payload)
		return outputError(err)
	case guest.Files:
		if s.collect != nil {
			s.collect.write(frame.Payload)
		}
	case guest.Trouble:
		s.trouble = append(s.trouble, errors.New(string(frame.Payload)))
	case guest.Credit:
		n, err := frame.Uint()
		if err != nil {
			return err
		}
		s.credit <- int(n)
	case guest.Exit:
		s.exited = time.Now()
		return json.Unmarshal(frame.Payload, &s.status)
	case guest.Done:
		s.done = true
	default:
		return fmt.Errorf("results port: %s: %w", frame.Kind, guest.ErrGarbage)
	}
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

// send hands standard input to the guest, never more than the window at once.
// It ends with the input, or when stop is closed and the input gives something.
func (s *session) send(stdin io.Reader, port io.Writer, stop <-chan struct{}) error {
	frames := guest.NewWriter(port)
	room := guest.Window
	buf := make([]byte, guest.Window/4)
	for {
		n, readErr := stdin.Read(buf)
		for room < n {
			select {
			case more := <-s.credit:
				room += more
			case <-stop:
				return nil
			}
		}
		if n > 0 {
			if err := frames.Write(guest.Stdin, buf[:n]); err != nil {
				return err
			}
			room -= n
		}
		if readErr != nil {
			return frames.Write(guest.StdinEnd, nil)
		}
	}
}
