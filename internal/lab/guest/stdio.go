package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// stdio is the command's standard input and outputs.
type stdio struct {
	stdin           io.WriteCloser
	outputs         map[Kind]*os.File
	in, out, errOut *os.File // the command's ends
}

// openStdio makes three pipes, or one terminal.
func openStdio(size *Size) (*stdio, error) {
	if size != nil {
		return openTerminal(*size)
	}
	s := &stdio{outputs: make(map[Kind]*os.File)}
	var err error
	if s.in, s.stdin, err = pipe(); err != nil {
		return nil, err
	}
	if s.outputs[Stdout], s.out, err = pipe(); err != nil {
		return nil, err
	}
	if s.outputs[Stderr], s.errOut, err = pipe(); err != nil {
		return nil, err
	}
	return s, nil
}

func pipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		err = fmt.Errorf("standard input and output: %w", err)
	}
	return r, w, err
}

func (s *stdio) child() []uintptr {
	return []uintptr{s.in.Fd(), s.out.Fd(), s.errOut.Fd()}
}

func (s *stdio) closeChild() {
	s.in.Close()
	s.out.Close()
	s.errOut.Close()
}

// stream sends what the command prints, and tells when all of it was sent.
func (s *stdio) stream(frames *Writer) <-chan error {
	done := make(chan error, 1)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for kind, from := range s.outputs {
		wg.Go(func() {
			_, err := io.CopyBuffer(frames.Stream(kind), onlyReader{from}, make([]byte, MaxPayload))
			if errors.Is(err, unix.EIO) { // a terminal whose last user is gone
				err = nil
			}
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	go func() {
		wg.Wait()
		done <- errors.Join(errs...)
	}()
	return done
}

// onlyReader hides WriteTo, which would bring its own buffer.
type onlyReader struct{ io.Reader }
