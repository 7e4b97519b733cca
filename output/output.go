// Package output passes on what the service records, in formats and to places that
// people run: files, standard output, the systemd journal, syslog, and collectors of
// OpenTelemetry logs.
//
// An [Output] is made of a [Config]. It opens nothing before it is given something to
// send, and opens it anew after an error. It keeps nothing: what was not delivered is
// sent to it again.
//
// # Who did it
//
// The user and the container are those of [record.Record.Responsible], as in the
// journal; the process is the one that made the system call. Of a load that the kernel
// had made for somebody's need these differ.
//
// # What is not an action
//
// Gaps and inventories are passed on too, for without them a receiver takes silence for
// peace. They are told from actions by their kind.
package output

import (
	"context"
	"fmt"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
)

// Entry is a record of the journal, as outputs see it. By its ID, which is the same
// whenever it is sent, a receiver drops repeats.
type Entry struct {
	journal.Record
	// Known is what Body says of an action; nil for what is none, and where it cannot
	// be read.
	Known *record.Record
	// Text is a sentence for people.
	Text string
}

// Output is a place that records are passed on to. It is for one goroutine.
type Output interface {
	// Name tells it from others, and is the same when the service starts again.
	Name() string
	// Send passes entries on, in order. After an error none counts as delivered: the
	// same are sent again later; but see [RefusedError]. It returns when its context
	// ends, and at the latest after the configured timeout.
	Send(ctx context.Context, entries []Entry) error
	Close() error
}

// RefusedError says that an entry will never be taken, however often it is sent. Those
// before it in the batch are delivered; those after it were not sent.
type RefusedError struct {
	Seq int64 // of the entry
	Err error
}

func (e *RefusedError) Error() string { return fmt.Sprintf("record %d is refused: %v", e.Seq, e.Err) }
func (e *RefusedError) Unwrap() error { return e.Err }

// limited is an output whose sending takes no longer than a time.
type limited struct {
	Output
	within time.Duration
}

func (l limited) Send(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.Output.Send(ctx, entries)
}
