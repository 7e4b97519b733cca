// Package output passes on what the service records: to files, to the system's log, to
// collectors, in formats that they read.
package output

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
)

// Entry is a record of the journal, as outputs see it.
type Entry struct {
	Seq  int64
	ID   string // the same whenever it is sent: by it a receiver drops repeats
	Time time.Time
	Boot string
	Kind string // the journal's word
	// Body is the JSON that was recorded, one line.
	Body []byte
	// Account is what Body says of an action; nil for what is none.
	Account *account.Account
	// Text is a sentence for people.
	Text string
}

// Output is a place that records are passed on to.
type Output interface {
	// Name tells it from others, and is the same when the service starts again.
	Name() string
	// Send passes entries on, in order. After an error none counts as delivered: the
	// same are sent again later. It returns when its context ends.
	Send(ctx context.Context, entries []Entry) error
	Close() error
}

// Config is one entry of the configuration's list of outputs.
type Config struct {
	// Type is the place: file, stdout, journald, syslog or otlp.
	Type string `yaml:"type"`
	// Name tells two outputs of a type apart; the type if empty.
	Name string `yaml:"name"`
}

// Label is its name, or what stands for one.
func (c Config) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Type
}

// Check tells what is wrong with it.
func (c Config) Check() error {
	if c.Type == "" {
		return errors.New("no type")
	}
	return nil
}

// Open makes the output. It connects to nothing yet.
func (c Config) Open() (Output, error) {
	return nil, fmt.Errorf("type %q: there is no such output", c.Type)
}
