package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// Preamble opens the guest's side of the results port. Whatever came before
// it (firmware, a console that the user put on the same port) is skipped, and
// the digit is the protocol's version.
const Preamble = "\x00kmodtrace-lab-1\n"

// MaxPayload is the most that one frame carries, in bytes.
const MaxPayload = 32 << 10

// Window is how many bytes of standard input the host may have under way. A
// serial port has no flow control here: past 64 KiB the guest's tty layer drops
// bytes silently, so the host stops at the window and goes on when the guest
// gives credit back.
const Window = 16 << 10

const (
	frameMagic  = 0x9e
	headerSize  = 4 // magic, kind, payload length (little endian)
	trailerSize = 4 // CRC-32 of header and payload
)

// Kind says what a frame carries.
type Kind byte

//go:generate go tool stringer -type Kind -linecomment

const (
	Stdout   Kind = iota + 1 // stdout
	Stderr                   // stderr
	Files                    // files
	Trouble                  // trouble
	Exit                     // exit
	Done                     // done
	Credit                   // credit
	Stdin                    // stdin
	StdinEnd                 // stdin-end
	Note                     // note
	Resume                   // resume
	Signal                   // signal
	Started                  // started
)

// Frame is one message on the results port.
//
// Guest to host: Stdout and Stderr are the command's output. Files is a piece
// of a gzip'd tar stream, holding what is brought back. Trouble is a sentence
// about something that the guest could not do, Note one about something that it left
// out. Exit is an [ExitStatus]. Done ends
// the run: a run without it did not finish. Credit is a number of bytes of
// standard input that the host may send more. Started says that the command runs. Host to guest: Stdin and StdinEnd; Signal
// with the number of a signal for the command; and Resume, a [Resumption], which a guest
// that was saved waits for.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// ErrGarbage is what [Reader.Next] finds when the bytes at hand are no frame:
// the port is shared with something else, or bytes were lost.
var ErrGarbage = errors.New("not a frame")

// Writer writes frames. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewWriter makes a frame writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Open writes the preamble, after which the other side listens.
func (w *Writer) Open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, Preamble)
	return err
}

// Write sends one frame. The payload must not be longer than [MaxPayload].
func (w *Writer) Write(kind Kind, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("%s frame of %d bytes: at most %d", kind, len(payload), MaxPayload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf[:0], frameMagic, byte(kind))
	w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(len(payload)))
	w.buf = append(w.buf, payload...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc32.ChecksumIEEE(w.buf))
	_, err := w.w.Write(w.buf)
	return err
}

// WriteUint sends a frame that carries one number.
func (w *Writer) WriteUint(kind Kind, n uint32) error {
	return w.Write(kind, binary.LittleEndian.AppendUint32(nil, n))
}

// Stream gives a plain writer whose bytes travel as frames of one kind.
func (w *Writer) Stream(kind Kind) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind Kind
}

func (s stream) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, MaxPayload)
		if err := s.w.Write(s.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// Reader reads frames.
type Reader struct {
	r      io.Reader
	offset int64
	buf    [headerSize + MaxPayload + trailerSize]byte
}

// NewReader makes a frame reader on r, which should be buffered.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// maxNoise is how much may come before the preamble: firmware, and a console that the
// user put there.
const maxNoise = 16 << 20

// Sync skips to just after the preamble. It gives io.ErrUnexpectedEOF when the
// stream ends without one.
func (r *Reader) Sync() error {
	want := []byte(Preamble)
	var window []byte
	for !bytes.Equal(window, want) {
		if r.offset > maxNoise {
			return fmt.Errorf("no preamble in %d bytes: %w", r.offset, ErrGarbage)
		}
		if len(window) == len(want) {
			window = append(window[:0], window[1:]...)
		}
		n, err := io.ReadFull(r.r, r.buf[:1])
		r.offset += int64(n)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		window = append(window, r.buf[0])
	}
	return nil
}

// Next gives the next frame, whose payload is valid until the call after it.
// The error is io.EOF at the end between two frames, io.ErrUnexpectedEOF inside
// one, and one that is [ErrGarbage] when the bytes are no frame.
func (r *Reader) Next() (Frame, error) {
	start := r.offset
	if err := r.fill(r.buf[:headerSize]); err != nil {
		return Frame{}, err
	}
	size := int(binary.LittleEndian.Uint16(r.buf[2:]))
	if r.buf[0] != frameMagic || size > MaxPayload {
		return Frame{}, fmt.Errorf("byte %d: %w", start, ErrGarbage)
	}
	end := headerSize + size
	switch err := r.fill(r.buf[headerSize : end+trailerSize]); {
	case err == io.EOF:
		return Frame{}, io.ErrUnexpectedEOF
	case err != nil:
		return Frame{}, err
	}
	if crc32.ChecksumIEEE(r.buf[:end]) != binary.LittleEndian.Uint32(r.buf[end:]) {
		return Frame{}, fmt.Errorf("byte %d: wrong checksum: %w", start, ErrGarbage)
	}
	return Frame{Kind: Kind(r.buf[1]), Payload: r.buf[headerSize:end]}, nil
}

func (r *Reader) fill(p []byte) error {
	n, err := io.ReadFull(r.r, p)
	r.offset += int64(n)
	return err
}

// Uint reads the number that [Writer.WriteUint] sent.
func (f Frame) Uint() (uint32, error) {
	if len(f.Payload) != 4 {
		return 0, fmt.Errorf("%s frame of %d bytes, want 4: %w", f.Kind, len(f.Payload), ErrGarbage)
	}
	return binary.LittleEndian.Uint32(f.Payload), nil
}
