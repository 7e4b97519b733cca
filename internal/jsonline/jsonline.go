// Package jsonline writes and reads the JSON objects that kmodtrace prints, records and
// passes on. Each names the version of its schema (docs/compatibility.md), in its first field.
package jsonline

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Version is the version of the schemas in docs/schema, which each object has as its field
// schema. Objects of earlier releases have no such field: their version is 0.
const Version = 1

var (
	field = fmt.Appendf(nil, `"schema":%d`, Version)
	begin = fmt.Appendf(nil, "{%s", field)
)

// Marshal gives v as one line, without its end. An object, or each object of a list, gets the
// field schema.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return stamp(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
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

func stamp(text []byte) ([]byte, error) {
	switch {
	case len(text) == 0:
	case text[0] == '{':
		stamped := append(make([]byte, 0, len(text)+len(field)+1), begin...)
		if len(text) > len("{}") {
			stamped = append(stamped, ',')
		}
		return append(stamped, text[1:]...), nil
	case text[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return nil, err
		}
		for i, item := range items {
			var err error
			if items[i], err = stamp(item); err != nil {
				return nil, err
			}
		}
		text = append([]byte{'['}, bytes.Join(raw(items), []byte{','})...)
		return append(text, ']'), nil
	}
	return text, nil
}

func raw(items []json.RawMessage) [][]byte {
	all := make([][]byte, len(items))
	for i, item := range items {
		all[i] = item
	}
	return all
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
