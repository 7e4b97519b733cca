package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// A packed text is one from which parts were taken out that other texts have too: its
// length, and then, in turns, some bytes with their number before them and the SHA-256 of
// a part, which is packed itself. It begins and ends with bytes, though there may be none.
// To put the parts back gives the text to the byte.

// minShared is how long a part must be: shorter ones take less where they are.
const minShared = 128

// maxNesting is how deep parts may be inside of parts.
const maxNesting = 6

// isShared tells which values of a body others have too: processes, and of a process what
// does not change from one to the next.
func isShared(key string) bool {
	switch key {
	case "actor", "ancestors", "ancestor", "exe", "cgroup", "namespaces", "args":
		return true
	}
	return false
}

// packed is a text in this form.
type packed struct {
	data  []byte
	parts []*packed // those taken out of it, in order
	sum   Sum       // of data
}

// pack takes the parts out of a JSON text. It gives nil for one that has none, or is not
// JSON.
func pack(text []byte) *packed {
	if len(text) < minShared || text[0] != '{' || !json.Valid(text) {
		return nil
	}
	s := &splitter{text: text}
	parts := s.value("", 0)
	if len(parts) == 0 {
		return nil
	}
	return s.pack(part{0, len(text), parts})
}

// size is how much it and its parts take, each once.
func (p *packed) size() int {
	seen := map[Sum]bool{}
	var sum func(*packed) int
	sum = func(p *packed) int {
		if seen[p.sum] {
			return 0
		}
		seen[p.sum] = true
		n := len(p.data)
		for _, in := range p.parts {
			n += sum(in)
		}
		return n
	}
	return sum(p)
}

// part is a value in a text that is to be taken out, and those inside of it.
type part struct {
	from, to int
	inside   []part
}

// splitter finds the parts of a text that is valid JSON. encoding/json gives values, but
// not where they are.
type splitter struct {
	text []byte
	at   int
}

// value passes over a value, and gives the parts in it: itself, or those inside.
func (s *splitter) value(key string, depth int) []part {
	s.space()
	from, shared := s.at, isShared(key) && depth < maxNesting
	if shared {
		depth++
	}
	var inside []part
	switch s.text[s.at] {
	case '{':
		inside = s.object(depth)
	case '[':
		inside = s.array(key, depth)
	case '"':
		s.string()
		return nil
	default:
		s.at += max(bytes.IndexAny(s.text[s.at:], ",]} \t\r\n"), 1) // a number or a word
		return nil
	}
	if shared && s.at-from >= minShared {
		return []part{{from, s.at, inside}}
	}
	return inside
}

func (s *splitter) object(depth int) (parts []part) {
	for s.at++; ; s.at++ {
		if s.space(); s.text[s.at] == '}' {
			s.at++
			return parts
		}
		key := s.string()
		s.space()
		s.at++ // the colon
		parts = append(parts, s.value(key, depth)...)
		if s.space(); s.text[s.at] == '}' {
			s.at++
			return parts
		}
	}
}

func (s *splitter) array(key string, depth int) (parts []part) {
	if key == "ancestors" {
		key = "ancestor"
	} else {
		key = ""
	}
	for s.at++; ; s.at++ {
		if s.space(); s.text[s.at] == ']' {
			s.at++
			return parts
		}
		parts = append(parts, s.value(key, depth)...)
		if s.space(); s.text[s.at] == ']' {
			s.at++
			return parts
		}
	}
}

// string passes over a string, and gives what is between the quotes as it is there.
func (s *splitter) string() string {
	from := s.at + 1
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return string(s.text[from : s.at-1])
}

func (s *splitter) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t' || s.text[s.at] == '\r' || s.text[s.at] == '\n') {
		s.at++
	}
}

func (s *splitter) pack(p part) *packed {
	out := &packed{data: binary.AppendUvarint(nil, uint64(p.to-p.from))}
	literal := func(from, to int) {
		out.data = binary.AppendUvarint(out.data, uint64(to-from))
		out.data = append(out.data, s.text[from:to]...)
	}
	at := p.from
	for _, in := range p.inside {
		literal(at, in.from)
		taken := s.pack(in)
		out.parts = append(out.parts, taken)
		out.data = append(out.data, taken.sum[:]...)
		at = in.to
	}
	literal(at, p.to)
	out.sum = sha256.Sum256(out.data)
	return out
}

// errPacked says that bytes are not a packed text.
var errPacked = errors.New("what it shares with others is not in order")

// length gives that of the text.
func length(data []byte) (int, []byte, error) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > MaxBody {
		return 0, nil, errPacked
	}
	return int(n), data[used:], nil
}

// unpack calls fn for the bytes and the parts of a packed text, in turns. Of the last
// bytes the part is nil.
func unpack(data []byte, fn func(literal []byte, part *Sum) error) error {
	_, data, err := length(data)
	for err == nil {
		n, used := binary.Uvarint(data)
		if used <= 0 || n > uint64(len(data)-used) {
			return errPacked
		}
		literal := data[used : used+int(n)]
		if data = data[used+int(n):]; len(data) == 0 {
			return fn(literal, nil)
		}
		if len(data) < len(Sum{}) {
			return errPacked
		}
		part := Sum(data[:len(Sum{})])
		data = data[len(Sum{}):]
		err = fn(literal, &part)
	}
	return err
}

// partsOf gives the sums of the parts of a packed text.
func partsOf(data []byte) (sums []Sum, err error) {
	err = unpack(data, func(_ []byte, part *Sum) error {
		if part != nil {
			sums = append(sums, *part)
		}
		return nil
	})
	return sums, err
}
