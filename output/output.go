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
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
)

// Entry is a record of the journal, as outputs see it. By its ID, which is the same
// whenever it is sent, a receiver drops repeats.
type Entry struct {
	journal.Record
	// Known is what Body says of an action; nil for what is none, and where it cannot
	// be read. Of a finding it is the action in which it was found, where that is known.
	Known *record.Record
	// Finding is what Body says of a finding; nil for what is none.
	Finding *rule.Finding
	// Text is a sentence for people.
	Text string
}

// The types. A new one also has its fields in [Config], and its line in Config.given.
const (
	typeFile     = "file"
	typeStdout   = "stdout"
	typeJournald = "journald"
	typeSyslog   = "syslog"
	typeOTLP     = "otlp"
)

// keys are those of the configuration of each type, beside type, name and timeout.
var keys = map[string][]string{
	typeFile:     {"format", "path", "max_mib", "keep", "confirm"},
	typeStdout:   {"format"},
	typeJournald: {"address"},
	typeSyslog:   {"address", "facility"},
	typeOTLP:     {"endpoint", "headers", "confirm"},
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

// Host is a machine, as outputs name it.
type Host struct {
	ID     string // hashed from its machine-id
	Name   string
	Kernel string // its release
}

// Surroundings are what an output must know of its service.
type Surroundings struct {
	// Journal is the name of the journal that the records are of: what their hashes need to
	// be verified elsewhere.
	Journal string
	// Host names the machine in place of what it says itself; nil for that. It is for tests
	// of many machines on one.
	Host *Host
	// Others are files that it must not write, by whatever name or link.
	Others []string
	// Warn is called, from any goroutine, with what its service should log; nil to tell
	// nobody.
	Warn func(string)
}

// Open makes the output. Nothing is opened yet, and nobody is called.
func (c Config) Open(around Surroundings) (Output, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	h := thisHost()
	h.journal = around.Journal
	if around.Host != nil {
		h.id, h.name, h.release = around.Host.ID, around.Host.Name, around.Host.Kernel
	}
	o, err := c.open(h, around)
	if err != nil {
		return nil, err
	}
	within := c.Timeout
	if within == 0 {
		within = defaultTimeout
	}
	return limited{o, within}, nil
}

func (c Config) open(h host, around Surroundings) (Output, error) {
	format := formats[c.Format]
	switch c.Type {
	case typeFile:
		size := c.MaxMiB
		if size == 0 {
			size = defaultMiB
		}
		f := newFile(c.Label(), c.Path, int64(size)<<20, c.Keep, h.lines(format))
		f.around = around
		return f, nil
	case typeStdout:
		return &stream{name: c.Label(), to: os.Stdout, lines: h.lines(format)}, nil
	case typeJournald:
		_, path, err := splitAddress(c.Address, journaldSocket, "unix")
		return newJournald(c.Label(), path), err
	case typeSyslog:
		network, where, err := splitAddress(c.Address, syslogSocket, "unix", "udp", "tcp")
		return newSyslog(c.Label(), network, where, facilities[c.Facility], h), err
	case typeOTLP:
		return newOTLP(c, h)
	}
	return nil, errors.New("no such type")
}

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
