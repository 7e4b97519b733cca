package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
	var p *packed
	if len(r.Body) <= MaxBody {
		p = pack(r.Body)
	}
	if limit := r.limit(k.Class); !fits(r.Body, p, limit) {
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
	case !r.shortens():
		return MaxBody
	case c == ClassMinor:
		return MaxMinor
	}
	return MaxStored
}

// shortens tells whether the body is one that Append may shorten.
func (r *Record) shortens() bool { return r.Kind.ofAction() || r.Kind == KindFolded }

// fits tells whether a body takes no more than a limit, and can be read again: what takes
// little for being there many times is long when it is put together.
func fits(body []byte, p *packed, limit int) bool {
	return len(body) <= MaxBody && stored(body, p) <= limit
}

// stored is how much a body takes.
func stored(body []byte, p *packed) int {
	if p == nil {
		return len(body)
	}
	return p.size()
}

// lengths are how long things stay: a text that is in no list, one that is in a list, and a
// list.
type lengths struct{ text, listed, list int }

// cuts are in the order in which they are tried. Lists go first, and the texts in them:
// messages, arguments, ancestors. What an attempt was, who made it and who asked for it is
// in no list. Each step leaves less than the one before of everything, so that it can begin
// with what that left.
var cuts = []lengths{
	{4096, 4096, 256}, {4096, 1024, 64}, {4096, 256, 32}, {4096, 128, 16}, {4096, 128, 8}, {4096, 64, 4}, {4096, 64, 1},
	{1024, 64, 1}, {256, 64, 1}, {64, 64, 1}, {64, 64, 0},
}

// shorten cuts the texts and lists of a JSON object until it takes no more than a limit,
// and sets "cut" in it. It gives nil for what is not an object.
func shorten(body []byte, limit int) ([]byte, *packed) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var object map[string]any
	if d.Decode(&object) != nil || object == nil {
		return nil, nil
	}
	for _, l := range cuts {
		for key, v := range object {
			object[key] = l.cut(v, l.text)
		}
		if short, p := marked(object); fits(short, p, limit) {
			return short, p
		}
	}
	return marked(smallest(object, limit/2)) // what is taken out as parts leaves its hash
}

// smallest gives the members of an object that take no more than a limit together, the
// small ones first. Only objects of very many members come to this.
func smallest(object map[string]any, limit int) map[string]any {
	size := make(map[string]int, len(object))
	for key, v := range object {
		if text, err := json.Marshal(map[string]any{key: v}); err == nil {
			size[key] = len(text)
		}
	}
	keys := slices.SortedFunc(maps.Keys(size), func(a, b string) int {
		return cmp.Or(cmp.Compare(size[a], size[b]), cmp.Compare(a, b))
	})
	some := map[string]any{}
	for _, key := range keys {
		if limit -= size[key]; limit < 0 {
			break
		}
		some[key] = object[key]
	}
	return some
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
func (l lengths) cut(v any, text int) any {
	switch v := v.(type) {
	case string:
		return cutText(v, text)
	case json.Number:
		if len(v) > 64 {
			return json.Number("0")
		}
	case []any:
		if len(v) > l.list {
			v = append(v[:(l.list+1)/2], v[len(v)-l.list/2:]...)
		}
		for i := range v {
			v[i] = l.cut(v[i], l.listed)
		}
		return v
	case map[string]any:
		for key := range v {
			v[key] = l.cut(v[key], text)
		}
	}
	return v
}

func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) + "…"
}
