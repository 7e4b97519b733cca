package guest

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPort opens the serial port that carries the frames, and stops the
// terminal layer from touching their bytes.
func openPort(path string) (*os.File, error) {
	port, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("results port: %w", err)
	}
	raw := unix.Termios{
		Cflag:  unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200,
		Ispeed: 115200,
		Ospeed: 115200,
	}
	raw.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, &raw); err != nil {
		port.Close()
		return nil, fmt.Errorf("results port %s: raw mode: %w", path, err)
	}
	return port, nil
}

// drainPort waits until every byte has left.
func drainPort(port *os.File) error {
	if err := unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1); err != nil {
		return fmt.Errorf("results port: drain: %w", err)
	}
	return nil
}

// WriteJSON sends a frame that carries one small value.
func (w *Writer) WriteJSON(kind Kind, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Write(kind, data)
}

// maxText is what a sentence for the host may have: see [Trouble] and [Note].
const maxText = 1 << 10

// trouble tells the host what could not be done.
func (w *Writer) trouble(err error) error { return w.sentence(Trouble, err.Error()) }

// note tells the host what was left out.
func (w *Writer) note(text string) error { return w.sentence(Note, text) }

func (w *Writer) sentence(kind Kind, text string) error {
	return w.Write(kind, []byte(text[:min(len(text), maxText)]))
}
