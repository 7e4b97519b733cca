package dev

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// kernelLog follows what the kernel prints.
type kernelLog struct {
	file *os.File
	done chan struct{}
}

// followKernelLog calls line with each line that is printed from now on.
func followKernelLog(line func(string)) (*kernelLog, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &kernelLog{f, make(chan struct{})}
	go func() {
		defer close(l.done)
		record := make([]byte, 8192) // the kernel's own bound of one
		for {
			n, err := f.Read(record)
			switch {
			case errors.Is(err, unix.EPIPE):
				line("(some lines were overwritten before they could be read)")
			case err != nil:
				return
			default:
				if text, ok := procfs.LogText(string(record[:n])); ok {
					line(text)
				}
			}
		}
	}()
	return l, nil
}

func (l *kernelLog) close() {
	_ = l.file.Close()
	<-l.done
}
