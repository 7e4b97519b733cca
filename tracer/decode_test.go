package tracer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what recordings decode to")

// records splits a recording: length and bytes of each record.
func records(t testing.TB, file string) [][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var recs [][]byte
	for len(all) > 0 {
		n := binary.LittleEndian.Uint32(all)
		recs = append(recs, all[4:4+n])
		all = all[4+n:]
	}
	return recs
}

// The recordings of real kernels decode to the events, and correlate to the
// actions, that are kept beside them.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/records/*.bin.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".bin.gz")
		t.Run(filepath.Base(base), func(t *testing.T) {
			var events, actions bytes.Buffer
			c := NewCorrelator(0)
			for _, raw := range records(t, file) {
				e, err := decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				line(t, &events, e)
				for _, a := range c.Add(e) {
					line(t, &actions, a)
				}
			}
			golden(t, base+".events.jsonl", events.Bytes())
			golden(t, base+".actions.jsonl", actions.Bytes())
		})
	}
}

func line(t *testing.T, b *bytes.Buffer, v any) {
	t.Helper()
	if err := json.NewEncoder(b).Encode(v); err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// A record that is cut, empty or of no known kind is an error, never a panic.
func TestDecodeDamaged(t *testing.T) {
	file, err := filepath.Glob("testdata/records/*.bin.gz")
	if err != nil || len(file) == 0 {
		t.Fatal("no recordings")
	}
	for _, raw := range records(t, file[0]) {
		for _, n := range []int{0, 1, 79, len(raw) - 1} {
			if _, err := decode(raw[:min(n, len(raw))]); n < len(raw) && err == nil {
				t.Errorf("%d of %d bytes decode", n, len(raw))
			}
		}
		unknown := bytes.Clone(raw)
		(*bpfHeader)(unsafe.Pointer(&unknown[0])).Kind = 999
		if _, err := decode(unknown); err == nil {
			t.Error("kind 999 decodes")
		}
	}
}

// Lengths that the kernel side states are not trusted with memory.
func TestDecodeHostileLengths(t *testing.T) {
	for _, length := range []uint32{0, 1, 1 << 10, 1 << 31, 1<<32 - 1} {
		f := bpfFileEvent{File: bpfFileFacts{Length: length}}
		f.H.Kind = uint16(KindFile)
		if _, err := decode(bytesOf(&f)); err != nil {
			t.Errorf("file of length %d: %v", length, err)
		}
		m := bpfTextEvent{Length: length}
		m.H.Kind = uint16(KindMessage)
		if _, err := decode(bytesOf(&m)); err != nil {
			t.Errorf("text of length %d: %v", length, err)
		}
		a := bpfActorEvent{Length: length}
		a.H.Kind = uint16(KindActor)
		if _, err := decode(bytesOf(&a)); err != nil {
			t.Errorf("arguments of length %d: %v", length, err)
		}
		p := bpfProcessEvent{CgroupLength: length, Exe: bpfFileFacts{Ino: 1, Length: length}}
		p.H.Kind = uint16(KindProcess)
		if _, err := decode(bytesOf(&p)); err != nil {
			t.Errorf("paths of length %d: %v", length, err)
		}
		d := bpfDirectoryEvent{Length: length}
		d.H.Kind = uint16(KindDirectory)
		if _, err := decode(bytesOf(&d)); err != nil {
			t.Errorf("directory of length %d: %v", length, err)
		}
	}
}

// TestDecodeImage: the first bytes tell the format, as far as there are any; a mark
// at the end tells a signature.
func TestDecodeImage(t *testing.T) {
	header := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\xb7\x00")
	swapped := bytes.Clone(header)
	swapped[4], swapped[5] = 1, 2
	odd := bytes.Clone(header)
	odd[4], odd[5] = 9, 9
	for name, c := range map[string]struct {
		size       uint64
		head, tail string
		want       Image
	}{
		"empty":           {0, string(header), "", Image{Format: FormatUnknown}},
		"three bytes":     {3, string(header), "", Image{Size: 3, Format: FormatUnknown}},
		"magic":           {4, string(header), "", Image{Size: 4, Format: FormatELF}},
		"half a header":   {19, string(header), "", Image{Size: 19, Format: FormatELF}},
		"header":          {1 << 40, string(header), "", Image{Size: 1 << 40, Format: FormatELF, Bits: 64, Type: 1, Machine: 183}},
		"big-endian":      {64, string(swapped), "", Image{Size: 64, Format: FormatELF, Bits: 32, Type: 256, Machine: 0xb700}},
		"of no class":     {64, string(odd), "", Image{Size: 64, Format: FormatELF, Type: 1, Machine: 183}},
		"gzip":            {2, "\x1f\x8b", "", Image{Size: 2, Format: FormatGzip}},
		"xz":              {64, "\xfd7zXZ\x00", "", Image{Size: 64, Format: FormatXz}},
		"cut xz":          {5, "\xfd7zXZ\x00", "", Image{Size: 5, Format: FormatUnknown}},
		"zstd":            {64, "\x28\xb5\x2f\xfd", "", Image{Size: 64, Format: FormatZstd}},
		"signed":          {99, "", "\x00\x00\x02\x00\x00\x00\x00\x00\xff\x00\x00\x01" + signatureMark, Image{Size: 99, Format: FormatUnknown, Signed: true, SignatureSize: 0xff000001}},
		"signature alone": {39, "", "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01" + signatureMark, Image{Size: 39, Format: FormatUnknown}},
		"half a mark":     {99, "", strings.Repeat("x", 12) + signatureMark[1:] + "x", Image{Size: 99, Format: FormatUnknown}},
	} {
		w := bpfImageEvent{Size: c.size}
		w.H.Kind = uint16(KindImage)
		copy(w.Head[:], c.head)
		copy(w.Tail[:], c.tail)
		e, err := decode(bytesOf(&w))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&c.want, e.Image); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestDecodeLookup: holders that there cannot be are not read, and a name that does
// not end is one.
func TestDecodeLookup(t *testing.T) {
	var w bpfLookupEvent
	w.H.Kind, w.H.Flags = uint16(KindLookup), uint16(bpfFlagFLAG_FOUND|bpfFlagFLAG_HAS_REFS)
	w.Holders, w.State, w.Refs = 1<<32-1, 99, -5
	for i := range w.Name {
		w.Name[i] = 'x'
	}
	w.Holder[0][0], w.Holder[7][0] = 'h', 0xff
	raw := bytesOf(&w)
	e, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	refs := int32(-5)
	want := &Lookup{Name: strings.Repeat("x", len(w.Name)), Found: true, State: 99, Refs: &refs, Holders: []string{"h", "", "", "", "", "", "", `\xff`}}
	if diff := cmp.Diff(want, e.Lookup); diff != "" {
		t.Error(diff)
	}
	clear(raw) // the reader uses its memory again
	if *e.Lookup.Refs != -5 || e.Lookup.Holders[0] != "h" {
		t.Errorf("%+v is of the reader's memory", e.Lookup)
	}
}

// TestDecodeCut: no kind decodes from a record that is a byte too short.
func TestDecodeCut(t *testing.T) {
	for kind := KindEnter; kind <= KindDied; kind++ {
		raw := make([]byte, 1<<13)
		(*bpfHeader)(unsafe.Pointer(&raw[0])).Kind = uint16(kind)
		least := len(raw)
		for ; least > 0; least-- {
			if _, err := decode(raw[:least]); err != nil {
				break
			}
		}
		if least == len(raw) || least < int(unsafe.Sizeof(bpfHeader{})) {
			t.Errorf("%v: %d bytes do not decode", kind, least)
		}
	}
}

// A record whose text is short comes without the rest of its room.
func TestDecodeShort(t *testing.T) {
	var w bpfTextEvent
	w.H.Kind, w.Length = uint16(KindMessage), 5
	copy(w.Text[:], "hello, and what was in this memory before")
	short := bytesOf(&w)[:unsafe.Offsetof(w.Text)+shortText]
	for _, raw := range [][]byte{slices.Clip(short), append(make([]byte, 0, 1<<13), short...)} {
		e, err := decode(raw)
		if err != nil || e.Message.Text != "hello" {
			t.Errorf("%+v, %v", e.Message, err)
		}
	}
	w.Length = 1 << 31
	if e, err := decode(slices.Clip(short)); err != nil || len(e.Message.Text) > len(w.Text) {
		t.Errorf("of a length beyond: %+v, %v", e.Message, err)
	}
	if _, err := decode(slices.Clip(short[:len(short)-1])); err == nil {
		t.Error("a byte too short decodes")
	}
}

// FuzzDecode: no record makes it panic, and what it gives is text that JSON keeps.
func FuzzDecode(f *testing.F) {
	for kind := KindEnter; kind <= KindDied; kind++ {
		raw := make([]byte, 1<<11)
		(*bpfHeader)(unsafe.Pointer(&raw[0])).Kind = uint16(kind)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decode(raw)
		if err != nil {
			return
		}
		c := NewCorrelator(0)
		c.Add(e)
		for _, v := range append(c.Pending(), c.Due(1<<62)...) {
			if _, err := json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`\ufffd`)) { // how the encoder writes what it cannot
			t.Errorf("a text that is not UTF-8: %s", text)
		}
	})
}

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func TestJoinPath(t *testing.T) {
	for _, test := range []struct {
		names string
		cut   bool
		want  string
	}{
		{"hello.ko\x00alice\x00home\x00", false, "/home/alice/hello.ko"},
		{"hello.ko\x00deep\x00", true, "…/deep/hello.ko"},
		{"", false, "/"},
		{"memfd:x\x00", false, "/memfd:x"},
		{"a\xffb\x00", false, `/a\xffb`},
	} {
		if got := joinPath([]byte(test.names), test.cut); got != test.want {
			t.Errorf("joinPath(%q, %t) = %q, want %q", test.names, test.cut, got, test.want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	files, _ := filepath.Glob("testdata/records/*.bin.gz")
	if len(files) == 0 {
		b.Fatal("no recordings")
	}
	recs := records(b, files[0])
	b.ReportAllocs()
	for b.Loop() {
		for _, raw := range recs {
			if _, err := decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestDecodeEarlier: records that end before what a later release added decode, and those
// that end anywhere else do not.
func TestDecodeEarlier(t *testing.T) {
	for kind, whole := range map[Kind]struct {
		raw     []byte
		earlier uintptr
	}{
		KindRequest:       {bytesOf(&bpfRequestEvent{Site: 7, Symbol: [160]uint8([]byte("f+0x1/0x2" + strings.Repeat("\x00", 151)))}), unsafe.Offsetof(bpfRequestEvent{}.Symbol)},
		KindRequestFormat: {bytesOf(&bpfFormatEvent{Site: 7, Symbol: [160]uint8([]byte("f+0x1/0x2" + strings.Repeat("\x00", 151)))}), unsafe.Offsetof(bpfFormatEvent{}.Symbol)},
		KindModuleLoad:    {bytesOf(&bpfModuleEvent{Address: 7, InitAddress: 9}), unsafe.Offsetof(bpfModuleEvent{}.InitAddress)},
	} {
		(*bpfHeader)(unsafe.Pointer(&whole.raw[0])).Kind = uint16(kind)
		for n := range whole.raw {
			e, err := decode(whole.raw[:n])
			if (err == nil) != (uintptr(n) == whole.earlier) {
				t.Errorf("%s of %d bytes: %v", kind, n, err)
			}
			if err == nil && (e.Request != nil && (e.Request.Site != 7 || e.Request.Symbol != "") || e.Module != nil && (e.Module.Address != 7 || e.Module.InitAddress != 0)) {
				t.Errorf("%s of an earlier release: %+v, %+v", kind, e.Request, e.Module)
			}
		}
		e, err := decode(whole.raw)
		if err != nil || e.Request != nil && e.Request.Symbol != "f+0x1" || e.Module != nil && e.Module.InitAddress != 9 {
			t.Errorf("%s: %+v, %+v, %v", kind, e.Request, e.Module, err)
		}
	}
}
