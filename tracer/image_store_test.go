package tracer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// partOf is one that arrives as the kernel side sends it.
type partOf struct {
	id     ID
	size   uint64
	offset uint32
	state  copierPartState
	bytes  string
	length uint32 // as it is stated, where that is not the length of bytes
}

// TestImageStore: an image is there when all of its bytes have arrived, each once, and never else.
func TestImageStore(t *testing.T) {
	part := func(offset uint32, text string) partOf { return partOf{id: 1, size: 8, offset: offset, bytes: text} }
	for _, c := range []struct {
		name  string
		parts []partOf
		want  string
		why   string
	}{
		{"none", nil, "", "none of them arrived"},
		{"one part", []partOf{part(0, "abcdefgh")}, "abcdefgh", ""},
		{"two", []partOf{part(0, "abcd"), part(4, "efgh")}, "abcdefgh", ""},
		{"not all", []partOf{part(0, "abcd")}, "", "4 of 8 arrived"},
		{"a gap", []partOf{part(0, "abcd"), part(5, "fgh")}, "", "lost"},
		{"no beginning", []partOf{part(4, "efgh")}, "", "lost"},
		{"one twice", []partOf{part(0, "abcd"), part(0, "abcd")}, "", "lost"},
		{"more than its size", []partOf{part(0, "abcd"), part(4, "efghi")}, "", "lost"},
		{"more after the end", []partOf{part(0, "abcdefgh"), part(8, "i")}, "", "lost"},
		{"another begins by its id", []partOf{part(0, "abcdefgh"), part(0, "abcdefgh")}, "", "lost"},
		{"another size", []partOf{part(0, "abcd"), {id: 1, size: 9, offset: 4, bytes: "efghi"}}, "", "lost"},
		{"bytes that are not there", []partOf{{id: 1, size: 8, bytes: "abcd", length: 8}}, "", "lost"},
		{"a gap, and all of it again", []partOf{part(4, "efgh"), part(0, "abcdefgh")}, "", "lost"},
		{"no room in the middle", []partOf{part(0, "abcd"), {id: 1, size: 8, state: copierPartStatePART_NO_ROOM}}, "", "no room"},
		{"no room at all", []partOf{{id: 1, size: 8, state: copierPartStatePART_NO_ROOM}}, "", "no room"},
		{"too large", []partOf{{id: 1, size: 1 << 40, state: copierPartStatePART_TOO_LARGE}}, "", "of its 1099511627776 bytes"},
		{"a size that is not to be believed", []partOf{{id: 1, size: 1 << 40, bytes: "abcd"}}, "", "of its 1099511627776 bytes"},
		{"unreadable", []partOf{{id: 1, size: 8, state: copierPartStatePART_UNREADABLE, bytes: "abcdefgh"}}, "", "did not let its memory be read"},
		{"of others", []partOf{{id: 2, size: 8, bytes: "abcdefgh"}}, "", "none of them arrived"},
		{"among others", []partOf{part(0, "abcd"), {id: 2, size: 8, bytes: "ABCDEFGH"}, part(4, "efgh")}, "abcdefgh", ""},
	} {
		var s imageStore
		for _, p := range c.parts {
			length := p.length
			if length == 0 {
				length = uint32(len(p.bytes))
			}
			s.add(&copierPart{Attempt: uint64(p.id), Size: p.size, Offset: p.offset, Length: length, State: uint32(p.state)}, []byte(p.bytes))
		}
		got, err := s.image(1)
		if string(got) != c.want || (err == nil) != (c.why == "") || err != nil && (!errors.Is(err, ErrNoImage) || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %q, %v, want %q, %s", c.name, got, err, c.want, c.why)
		}
	}
}

// TestImageStoreBounds: images take no more memory than they may, the oldest give way and say so, and what is forgotten is gone.
func TestImageStoreBounds(t *testing.T) {
	var s imageStore
	text := bytes.Repeat([]byte("x"), 1<<20)
	put := func(id ID, megabytes int) {
		for i := range megabytes {
			s.add(&copierPart{Attempt: uint64(id), Size: uint64(megabytes) << 20, Offset: uint32(i) << 20, Length: 1 << 20}, text)
		}
	}
	kept := func() (n int) {
		for e := s.order.Front(); e != nil; e = e.Next() {
			n += cap(e.Value.(*keptImage).bytes)
		}
		return n
	}
	for id := range ID(64) {
		put(id+1, 4)
		if kept() > maxImageBytes || kept() != s.bytes {
			t.Fatalf("%d bytes are kept, %d are counted", kept(), s.bytes)
		}
	}
	if _, err := s.image(60); err == nil || !strings.Contains(err.Error(), "gave way") {
		t.Error(err)
	}
	for id := ID(61); id <= 64; id++ {
		if got, err := s.image(id); err != nil || len(got) != 4<<20 {
			t.Errorf("%d: %d bytes, %v", id, len(got), err)
		}
		s.drop(id)
		if _, err := s.image(id); !errors.Is(err, ErrNoImage) {
			t.Error(err)
		}
	}
	if s.bytes != 0 {
		t.Errorf("%d bytes are counted of none", s.bytes)
	}
	for id := range ID(3 * maxImages) {
		s.add(&copierPart{Attempt: uint64(id + 100), Size: 8, State: uint32(copierPartStatePART_NO_ROOM)}, nil)
	}
	if len(s.byID) != maxImages || s.order.Len() != maxImages {
		t.Errorf("%d images, %d in order", len(s.byID), s.order.Len())
	}
}
