package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/copies"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestCopyWanted: of which loads files are kept.
func TestCopyWanted(t *testing.T) {
	load := func(capable bool, o provenance.Origin) *record.Record {
		r := new(record.Record)
		r.Kind, r.Call, r.Origin = tracer.Load, &tracer.Enter{Capable: capable}, &o
		return r
	}
	packaged := provenance.Origin{Package: &provenance.Package{Name: "linux-image", Content: provenance.AsPackaged}}
	for name, test := range map[string]struct {
		r    *record.Record
		want string // of unpackaged, all
	}{
		"own":              {load(true, provenance.Origin{}), "yes yes"},
		"of a package":     {load(true, packaged), "no yes"},
		"no hash is known": {load(true, provenance.Origin{Package: &provenance.Package{Name: "x"}}), "no yes"},
		"differs":          {load(true, provenance.Origin{Package: &provenance.Package{Name: "x", Content: provenance.Differs}}), "yes yes"},
		"DKMS":             {load(true, provenance.Origin{DKMS: "x/1"}), "no yes"},
		"from memory":      {func() *record.Record { r := load(true, packaged); r.Origin = nil; return r }(), "yes yes"},
		"without rights":   {load(false, provenance.Origin{}), "no no"},
	} {
		word := map[bool]string{true: "yes", false: "no"}
		c, all, none := CopiesConfig{Keep: keepUnpackaged}, CopiesConfig{Keep: keepAll}, CopiesConfig{Keep: keepNone}
		if got := word[c.wanted(test.r)] + " " + word[all.wanted(test.r)]; got != test.want || none.wanted(test.r) {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestKeepFile: what is kept is whole; what cannot be read, changes meanwhile or finds no room is not kept, and it is said
// why; what has to go for others is recorded.
func TestKeepFile(t *testing.T) {
	s := withJournal(t)
	dir := filepath.Join(t.TempDir(), "copies")
	s.config.Copies = CopiesConfig{Keep: keepUnpackaged, Path: dir, MaxMiB: 1}
	s.openCopies()
	text := bytes.Repeat([]byte("module"), 1000)
	sum := sha256.Sum256(text)
	r := new(record.Record)
	r.Kind, r.Call = tracer.Load, &tracer.Enter{Capable: true}
	r.Origin = &provenance.Origin{State: provenance.Same, SHA256: provenance.Digest(hex.EncodeToString(sum[:]))}
	given := func(text []byte, err error) func(context.Context, io.Writer) error {
		return func(_ context.Context, to io.Writer) error {
			_, writeErr := to.Write(text)
			return errors.Join(err, writeErr)
		}
	}
	for _, c := range []struct {
		contents func(context.Context, io.Writer) error
		why      string
	}{
		{given(text[:3000], errors.New("it was changed while it was read here")), "it was changed while it was read here"},
		{given(text[:3000], nil), "what was copied has the SHA-256"},
		{given(text, nil), ""},
		{given(nil, errors.New("read twice")), ""}, // it is there already
	} {
		got := s.keepFile(t.Context(), r, c.contents)
		if got == nil || got.Kept != (c.why == "") || !strings.Contains(got.Why, c.why) {
			t.Errorf("%+v, want %q", got, c.why)
		}
	}
	var back bytes.Buffer
	if err := copies.Extract(dir, string(r.Origin.SHA256), &back); err != nil || !bytes.Equal(back.Bytes(), text) {
		t.Errorf("%v", err)
	}
	changed := *r
	changed.Origin = &provenance.Origin{State: provenance.Replaced, Why: "another file is there"}
	if got := s.keepFile(t.Context(), &changed, given(text, nil)); got.Kept || !strings.Contains(got.Why, "replaced, another file is there") {
		t.Errorf("%+v", got)
	}

	if store, err := copies.Open(dir, 1); err != nil { // no room for any
		t.Fatal(err)
	} else {
		s.copies = store
	}
	if err := s.trimCopies(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for rec, err := range s.journal.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindDiscarded}}) {
		if n++; err != nil || rec.Count != 1 || !strings.Contains(string(rec.Body), string(r.Origin.SHA256)) {
			t.Errorf("%+v, %v", rec, err)
		}
	}
	if n != 1 {
		t.Errorf("%d records of what was discarded", n)
	}
	if got := s.keepFile(t.Context(), r, given(text, nil)); got.Kept || !strings.Contains(got.Why, "all copies together may take 1") {
		t.Errorf("%+v", got)
	}

	// A place that cannot be used is no reason not to serve.
	s.copies, s.config.Copies.Path = nil, "/dev/null/x"
	s.openCopies()
	if got := s.keepFile(t.Context(), r, given(text, nil)); got.Kept || !strings.Contains(got.Why, "not a directory") {
		t.Errorf("%+v", got)
	}
}

// TestKeepImage: where there is no file as the kernel had it, what the kernel had is kept, and it is said that it is that; a file
// that is there is preferred. The bytes of an action that has not ended are still there at its end.
func TestKeepImage(t *testing.T) {
	s := withJournal(t)
	kernel := new(quietKernel)
	s.tracer = kernel
	dir := filepath.Join(t.TempDir(), "copies")
	s.config.Copies = CopiesConfig{Keep: keepUnpackaged, Path: dir, MaxMiB: 1}
	s.openCopies()
	file, image := bytes.Repeat([]byte("file"), 1000), bytes.Repeat([]byte("image"), 1000)
	hash := func(text []byte) provenance.Digest {
		sum := sha256.Sum256(text)
		return provenance.Digest(hex.EncodeToString(sum[:]))
	}
	same := &provenance.Origin{State: provenance.Same, SHA256: hash(file)}
	gone := &provenance.Origin{State: provenance.Gone, Why: "it never had a name"}
	for _, c := range []struct {
		name   string
		origin *provenance.Origin
		image  []byte // that the kernel side handed over
		size   int    // that it said before
		read   error  // of the file
		want   []byte // nil where none is kept
		from   record.CopySource
		why    string
	}{
		{"a file", same, image, len(image), nil, file, "", ""},
		{"a file that cannot be read", &provenance.Origin{State: provenance.Same, SHA256: hash([]byte("x"))}, image, len(image), errors.New("it is another now"), image, record.FromKernel, "it is another now"},
		{"no name", gone, image, len(image), nil, image, record.FromKernel, "gone, it never had a name"},
		{"from memory", nil, image, len(image), nil, image, record.FromKernel, "loaded from memory"},
		{"from memory, not handed over", nil, nil, len(image), nil, nil, "", "has no file; the kernel's own bytes of the module are not there: none of them arrived"},
		{"from memory, other bytes", nil, image, len(image) + 1, nil, nil, "", "and it loaded 5001"},
		{"from memory, of no known size", nil, image, 0, nil, image, record.FromKernel, "loaded from memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := new(record.Record)
			r.ID, r.Kind, r.Call, r.Origin = 7, tracer.Load, &tracer.Enter{Capable: true}, c.origin
			if c.size > 0 {
				r.Image = &tracer.Image{Size: uint64(c.size)}
			}
			if c.image != nil {
				kernel.images = map[tracer.ID][]byte{7: c.image}
			}
			contents := func(_ context.Context, to io.Writer) error {
				_, err := to.Write(file)
				return errors.Join(err, c.read)
			}
			r.Preliminary = true
			first := s.keepFile(t.Context(), r, contents)
			r.Preliminary = false
			r.Copy = s.keepFile(t.Context(), r, contents)
			if *first != *r.Copy || r.Copy.Kept != (c.want != nil) || r.Copy.From != c.from || !strings.Contains(r.Copy.Why, c.why) || (c.why == "") != (r.Copy.Why == "") {
				t.Errorf("%+v, before its end %+v", r.Copy, first)
			}
			if len(kernel.images) != 0 {
				t.Error("the bytes are not forgotten")
			}
			var back bytes.Buffer
			if err := copies.Extract(dir, string(r.CopySum()), &back); (err == nil) != (c.want != nil) || !bytes.Equal(back.Bytes(), c.want) {
				t.Errorf("%d bytes, %v", back.Len(), err)
			}
			if want := c.want; want != nil && (c.origin == nil || c.origin.SHA256 == "") && r.Content() != hash(want) {
				t.Errorf("content %s", r.Content())
			}
		})
	}
}
