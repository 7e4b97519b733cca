package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// store brings the body of a record into the form in which it is kept, and shortens it
// where it would take too much.
func (r *Record) store() (*kept, []*packed, error) {
	k := &kept{Record: *r, form: formPlain}
	k.Class = r.class()
	if r.Kind == KindRetention || r.Kind == KindThinned {
		return k, nil, nil
	}
	p := pack(r.Body)
	if limit := r.limit(k.Class); stored(r.Body, p) > limit {
		body, shorter := shorten(r.Body, limit)
		if body == nil {
			return nil, nil, fmt.Errorf("%w: record %.64q would take %d bytes; %d can be kept", ErrTooLarge, r.ID, stored(r.Body, p), limit)
		}
		k.Body, p = body, shorter
	}
	if p == nil {
		return k, nil, nil
	}
	k.Body, k.form = p.data, formPacked
	return k, p.parts, nil
}

// limit is how much the body may take.
func (r *Record) limit(c Class) int {
	switch {
	case r.Kind != KindAction && r.Kind != KindFolded:
		return MaxBody
	case c == ClassMinor:
		return MaxMinor
	}
	return MaxStored
}

// stored is how much a body takes.
func stored(body []byte, p *packed) int {
	if p == nil {
		return len(body)
	}
	return p.size()
}

// lengths are how long texts and lists stay, in the order in which that is tried.
var lengths = []struct{ text, list int }{{4096, 256}, {1024, 64}, {256, 32}, {128, 16}, {64, 4}, {64, 0}}

// shorten cuts the texts and lists of a JSON object until it takes no more than a limit,
// and sets "cut" in it. It gives nil for what is no object.
func shorten(body []byte, limit int) ([]byte, *packed) {
	for _, l := range lengths {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var object map[string]any
		if d.Decode(&object) != nil || object == nil {
			return nil, nil
		}
		for key, v := range object {
			object[key] = cut(v, l.text, l.list)
		}
		if short, p := marked(object); stored(short, p) <= limit {
			return short, p
		}
	}
	// An object of many members: what it is about is in the other columns.
	return marked(map[string]any{})
}

// marked gives an object that says that it was cut.
func marked(object map[string]any) ([]byte, *packed) {
	object["cut"] = true
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(object) != nil {
		return nil, nil
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return body, pack(body)
}

// cut shortens a value. Of a list the beginning and the end stay.
func cut(v any, text, list int) any {
	switch v := v.(type) {
	case string:
		if len(v) <= text {
			return v
		}
		end := text
		for end > 0 && !utf8.RuneStart(v[end]) {
			end--
		}
		return strings.Clone(v[:end]) + "…"
	case json.Number:
		if len(v) > 64 {
			return json.Number("0")
		}
	case []any:
		if len(v) > list {
			v = append(v[:(list+1)/2], v[len(v)-list/2:]...)
		}
		for i := range v {
			v[i] = cut(v[i], text, list)
		}
		return v
	case map[string]any:
		for key := range v {
			v[key] = cut(v[key], text, list)
		}
	}
	return v
}
