// Package output passes on what the service records, to files and to standard output.
package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

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
	// Type is the place: file or stdout. Either gets each record's JSON on a line.
	Type string `yaml:"type"`
	// Name tells two outputs of a type apart; the type if empty.
	Name string `yaml:"name"`
	// Path is the file of the type file.
	Path string `yaml:"path"`
	// MaxMiB is the size at which the file is moved aside and a new one begins; 100 if
	// zero.
	MaxMiB int `yaml:"max_mib"`
	// Keep is how many files moved aside are kept; all if zero.
	Keep int `yaml:"keep"`
}

// The types.
const (
	typeFile   = "file"
	typeStdout = "stdout"
)

// Label is its name, or what stands for one.
func (c Config) Label() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Type
}

// Check tells what is wrong with it.
func (c Config) Check() error {
	switch c.Type {
	case "":
		return errors.New("no type: want file or stdout")
	case typeFile:
		if !filepath.IsAbs(c.Path) {
			return fmt.Errorf("path %q: want an absolute path", c.Path)
		}
	case typeStdout:
		if c.Path != "" || c.MaxMiB != 0 || c.Keep != 0 {
			return errors.New("path, max_mib and keep are of files")
		}
	default:
		return fmt.Errorf("type %q: want file or stdout", c.Type)
	}
	if c.MaxMiB < 0 || c.Keep < 0 {
		return fmt.Errorf("max_mib %d, keep %d: want none or more", c.MaxMiB, c.Keep)
	}
	return nil
}

// Open makes the output. It opens no file yet.
func (c Config) Open() (Output, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Type == typeStdout {
		return &lines{name: c.Label(), to: os.Stdout}, nil
	}
	// Its files are readable by their owner only.
	f := &lumberjack.Logger{Filename: c.Path, MaxSize: c.MaxMiB, MaxBackups: c.Keep}
	return &lines{name: c.Label(), to: f, close: f.Close}, nil
}

// lines writes each record's JSON, a line each, and a batch in one go.
type lines struct {
	name  string
	to    io.Writer
	close func() error // nil where there is nothing to close
}

func (l *lines) Name() string { return l.name }

// Send writes what is local: it waits for nobody but a pipe's reader.
func (l *lines) Send(_ context.Context, entries []Entry) error {
	var b bytes.Buffer
	for i := range entries {
		line, err := entries[i].line()
		if err != nil {
			return err
		}
		b.Write(line)
	}
	_, err := l.to.Write(b.Bytes())
	return err
}

func (l *lines) Close() error {
	if l.close == nil {
		return nil
	}
	return l.close()
}

// line is what a reader of JSON gets of an entry.
func (e *Entry) line() ([]byte, error) {
	body := json.RawMessage(e.Body)
	if !json.Valid(body) {
		return nil, fmt.Errorf("record %d is no JSON", e.Seq)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Seq    int64           `json:"seq"`
		ID     string          `json:"id"`
		Time   time.Time       `json:"time"`
		Boot   string          `json:"boot"`
		Kind   string          `json:"kind"`
		Text   string          `json:"text"`
		Record json.RawMessage `json:"record"`
	}{e.Seq, e.ID, e.Time, e.Boot, e.Kind, e.Text, body})
	return b.Bytes(), err
}
