package term

import (
	"io"
)

// Batch writes whole records, together while more are to come: a reader never sees half
// of one, and a storm takes few system calls.
type Batch struct {
	Out  io.Writer
	text []byte
}

// batchBytes are about ten actions as JSON, or a hundred lines.
const batchBytes = 32 << 10

// Add adds a record, which is written later.
func (b *Batch) Add(record string) { b.text = append(b.text, record...) }

// AddJSON adds a value as [JSONLine] gives it.
func (b *Batch) AddJSON(v any) (err error) {
	b.text, err = appendJSONLine(b.text, v)
	return err
}

// Pass writes what was added, unless more is to come at once.
func (b *Batch) Pass(more bool) error {
	if more && len(b.text) < batchBytes {
		return nil
	}
	return b.Flush()
}

// Flush writes what was added.
func (b *Batch) Flush() error {
	if len(b.text) == 0 {
		return nil
	}
	_, err := b.Out.Write(b.text)
	b.text = b.text[:0]
	return OutputError(err)
}
