// Package jsonline writes and reads the JSON objects that kmodtrace prints, records and
// passes on. Each names the version of its schema (docs/compatibility.md), in its first field.
package jsonline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// Version is the version of the schemas in docs/schema, which each object has as its field
// schema. Objects of earlier releases have no such field: their version is 0.
const Version = 1

// begin is how each object begins.
var begin = fmt.Appendf(nil, `{"schema":%d`, Version)

// Marshal gives v as one line, without its end. An object, or each object of a list, gets the
// field schema.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append adds to a text what [Marshal] gives. After an error the text is as it was.
func Append(to []byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.putBack()
	if err := e.json.Encode(v); err != nil {
		return to, fmt.Errorf("encode JSON: %w", err)
	}
	return stamp(to, bytes.TrimSuffix(e.text.Bytes(), []byte("\n")))
}

// encoder is kept with its memory: a watch encodes some kilobytes for each action.
type encoder struct {
	text bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.text)
	e.json.SetEscapeHTML(false)
	return e
}}

// mostKept is the size of a text, in bytes, whose memory is kept.
const mostKept = 64 << 10

func (e *encoder) putBack() {
	if e.text.Cap() <= mostKept {
		e.text.Reset()
		encoders.Put(e)
	}
}

// MarshalIndent is Marshal for people: a line for each value, indented.
func MarshalIndent(v any) ([]byte, error) {
	line, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, line, "", "  "); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Object is a value that gets the field schema wherever it is encoded.
type Object struct{ Value any }

// MarshalJSON gives what [Marshal] gives.
func (o Object) MarshalJSON() ([]byte, error) { return Marshal(o.Value) }

func stamp(to, text []byte) ([]byte, error) {
	switch {
	case len(text) == 0:
	case text[0] == '{':
		to = append(slices.Grow(to, len(begin)+len(text)), begin...)
		if len(text) > len("{}") {
			to = append(to, ',')
		}
		return append(to, text[1:]...), nil
	case text[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return to, err
		}
		stamped := append(to, '[')
		for i, item := range items {
			if i > 0 {
				stamped = append(stamped, ',')
			}
			var err error
			if stamped, err = stamp(stamped, item); err != nil {
				return to, err
			}
		}
		return append(stamped, ']'), nil
	}
	return append(to, text...), nil
}

// Unmarshal reads an object of this release, or of an earlier one, into v.
func Unmarshal(text []byte, v any) error {
	text, err := Upgrade(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// VersionError says that an object is of a later release.
type VersionError struct{ Version int64 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("its schema has version %d; this release reads versions up to %d", e.Version, Version)
}

// Upgrade gives an object of an earlier release as this release would have written it. One of
// this release stays as it is.
func Upgrade(text []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(text, begin); ok && len(rest) > 0 && (rest[0] == ',' || rest[0] == '}') {
		return text, nil
	}
	var of struct{ Schema int64 }
	if err := json.Unmarshal(text, &of); err != nil {
		return nil, err
	}
	switch {
	case of.Schema < 0 || of.Schema > Version:
		return nil, &VersionError{of.Schema}
	case of.Schema == Version:
		return text, nil
	}
	return fromVersion0(text)
}
