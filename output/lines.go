package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
)

// format makes the JSON document of an entry.
type format func(host, *Entry) any

var formats = map[string]format{
	"":     plain,
	"json": plain,
	"ocsf": ocsf,
	"ecs":  ecs,
}

// Line is a record in the format json: as history prints it, with whose it is and what its hash
// is over.
type Line struct {
	journal.Document
	Host  *LineHost        `json:"host,omitempty"`
	Chain *journal.Chained `json:"chain,omitempty"`
}

// LineHost is the machine whose record it is.
type LineHost struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Kernel string `json:"kernel,omitempty"`
}

// plain is the record as history prints it, with a sentence, and all that its hash is over.
func plain(h host, e *Entry) any {
	d := Line{Document: e.Document()}
	d.Text = e.Text
	if h.journal != "" {
		d.Host = &LineHost{ID: h.id, Name: h.name, Kernel: h.release}
		d.Chain = h.chained(e, d.Body())
	}
	return jsonline.Object{Value: d}
}

// chained is all that a record's hash is over, beside what its receiver has of the body.
func (h host) chained(e *Entry, has []byte) *journal.Chained {
	c := e.Chained(h.journal)
	if !bytes.Equal(has, e.Body) {
		c.Body = e.Body
	}
	return &c
}

// chain is chained as text.
func (h host) chain(e *Entry, has []byte) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if h.journal == "" || encoder.Encode(h.chained(e, has)) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// record is the body; as a JSON string where somebody made something else of it.
func (e *Entry) record() json.RawMessage {
	body := bytes.ToValidUTF8(e.Body, []byte("\uFFFD"))
	if !json.Valid(body) {
		body, _ = json.Marshal(string(body)) // of a string: no error
	}
	if upgraded, err := jsonline.Upgrade(body); err == nil {
		return upgraded
	}
	return body
}

// lines makes the line of each entry.
type lines func([]Entry) ([][]byte, error)

func (h host) lines(f format) lines {
	return func(entries []Entry) ([][]byte, error) {
		all := make([][]byte, len(entries))
		for i := range entries {
			var b bytes.Buffer
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(f(h, &entries[i])); err != nil {
				return all[:i], &RefusedError{Seq: entries[i].Seq, Err: err}
			}
			all[i] = b.Bytes()
		}
		return all, nil
	}
}

// stream writes lines to what cannot be rotated nor taken back.
type stream struct {
	name  string
	to    io.Writer
	lines lines
	apart apart
	torn  bool // its last line may have no end
}

func (s *stream) Name() string { return s.name }

func (s *stream) Send(ctx context.Context, entries []Entry) error {
	all, refused := s.lines(entries)
	text := bytes.Join(all, nil)
	err := s.apart.do(ctx, func() error {
		if s.torn && len(text) > 0 {
			text = append([]byte("\n"), text...)
		}
		n, err := s.to.Write(text)
		s.torn = err != nil && (n > 0 || s.torn)
		return err
	})
	if err != nil {
		return err
	}
	return refused
}

// Close leaves it open: it is the program's.
func (s *stream) Close() error { return nil }

// apart runs a write that the system may block for ever: into a pipe that nobody reads, or a
// file on another machine. One at a time.
type apart struct{ blocked chan error }

func (a *apart) do(ctx context.Context, f func() error) error {
	if a.blocked != nil {
		select {
		case <-a.blocked:
			a.blocked = nil
		case <-ctx.Done():
			return fmt.Errorf("an earlier write is still blocked: %w", ctx.Err())
		}
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		a.blocked = done
		return fmt.Errorf("the write is blocked: %w", ctx.Err())
	}
}

// idle tells whether no write is blocked.
func (a *apart) idle() bool {
	if a.blocked == nil {
		return true
	}
	select {
	case <-a.blocked:
		a.blocked = nil
		return true
	default:
		return false
	}
}
