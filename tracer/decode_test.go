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
		f := bpfFileEvent{Length: length}
		f.H.Kind = uint16(KindFile)
		if _, err := decode(bytesOf(&f)); err != nil {
			t.Errorf("file of length %d: %v", length, err)
		}
		m := bpfTextEvent{Length: length}
		m.H.Kind = uint16(KindMessage)
		if _, err := decode(bytesOf(&m)); err != nil {
			t.Errorf("text of length %d: %v", length, err)
		}
	}
}

func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"plain":              "plain",
		"grün":               "grün",
		"\xff":               `\xff`,
		"a\xc3":              `a\xc3`,
		"a\xed\xa0\x80b":     `a\xed\xa0\x80b`,
		"control\x1b[31mred": "control\x1b[31mred", // the renderer's business, not data's
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
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
