package journal

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
)

// Document is a record as JSON: what history prints and outputs pass on
// (docs/schema/record.schema.json).
type Document struct {
	Seq  int64     `json:"seq"`
	ID   string    `json:"id"`
	Time time.Time `json:"time"` // UTC
	Boot string    `json:"boot"`
	Kind Kind      `json:"kind"`
	Hash Sum       `json:"hash"`
	// Changed says that it is not as it was written.
	Changed bool  `json:"changed,omitempty"`
	Count   int64 `json:"count,omitempty"`
	// Text is a sentence for people, where somebody made one.
	Text string `json:"text,omitempty"`
	// The body, by what it is: an object that tells of an action, a finding, an object of what is
	// neither, or something else.
	Action  json.RawMessage `json:"action,omitempty"`
	Finding json.RawMessage `json:"finding,omitempty"`
	Note    json.RawMessage `json:"note,omitempty"`
	Raw     string          `json:"raw,omitempty"`
}

// Document gives the record as JSON has it.
func (r *Record) Document() Document {
	d := Document{Seq: r.Seq, ID: r.ID, Time: r.Time.UTC(), Boot: r.Boot, Kind: r.Kind, Hash: r.Hash, Count: r.Count}
	body := bytes.ToValidUTF8(r.Body, []byte("\uFFFD"))
	isObject := len(body) > 0 && body[0] == '{' && json.Valid(body)
	switch {
	case isObject && r.Kind == KindFinding:
		d.Finding = upgraded(body)
	case isObject && !r.Kind.ofAction():
		d.Note = upgraded(body)
	case isObject && tellsAction(body):
		d.Action = upgraded(body)
	default:
		d.Raw = strings.ToValidUTF8(string(body), "\uFFFD")
	}
	return d
}

// Body gives what it has of the record's body, as a line of JSON keeps it; nil where that is only
// an approximation.
func (d *Document) Body() []byte {
	for _, body := range []json.RawMessage{d.Action, d.Finding, d.Note} {
		if body == nil {
			continue
		}
		// Inside of another text a body loses the space between its parts.
		var b bytes.Buffer
		if json.Compact(&b, body) != nil {
			return nil
		}
		return b.Bytes()
	}
	return nil
}

// upgraded gives a body that an earlier release wrote by the names of this one. The hash is
// that of the body as it was written.
func upgraded(body []byte) []byte {
	if upgraded, err := jsonline.Upgrade(body); err == nil {
		return upgraded
	}
	return body
}

func tellsAction(body []byte) bool {
	var of struct{ Action string }
	return json.Unmarshal(body, &of) == nil && of.Action != ""
}
