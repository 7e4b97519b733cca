package main

import (
	"io"

	"github.com/kmodtrace/kmodtrace/internal/term"
)

// batch writes whole records, together while more are to come: a reader never sees half
// of one, and a storm takes few system calls.
type batch struct {
	out  io.Writer
	text []byte
}

// batchBytes are about ten actions as JSON, or a hundred lines.
const batchBytes = 32 << 10

func (b *batch) add(record string) { b.text = append(b.text, record...) }

// pass writes what was added, unless more is to come at once.
func (b *batch) pass(more bool) error {
	if more && len(b.text) < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.text) == 0 {
		return nil
	}
	_, err := b.out.Write(b.text)
	b.text = b.text[:0]
	return term.OutputError(err)
}
