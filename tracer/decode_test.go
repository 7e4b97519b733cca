package tracer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
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

func TestPreemption(t *testing.T) {
	for _, test := range []struct {
		version, modes string
		ok             bool
	}{
		{"#1 SMP Debian 5.10.2", "", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "none (voluntary) full \n", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "(none) voluntary full", true},
		{"#1 SMP PREEMPT_DYNAMIC Debian 7.3", "full (lazy) \n", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "none voluntary (full)", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12", "", false},
		{"#1 SMP PREEMPT_RT Debian 6.12", "", false},
		{"#1 SMP PREEMPT Arch", "garbage", false},
	} {
		if err := preemption(test.version, test.modes); (err == nil) != test.ok {
			t.Errorf("preemption(%q, %q) = %v", test.version, test.modes, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]version{
		"6.12.117+deb13-cloud-amd64": {6, 12},
		"5.10.0-46-cloud-amd64":      {5, 10},
		"7.3-rc1":                    {7, 3},
		"":                           {},
		"six":                        {},
		"6":                          {},
	} {
		got, err := parseVersion(in)
		if got != want || (err != nil) != (want == version{}) {
			t.Errorf("parseVersion(%q) = %v, %v", in, got, err)
		}
	}
}

func TestHooksFor(t *testing.T) {
	has := func(v version, name string) bool {
		for _, h := range hooksFor(v) {
			if h.name == name {
				return true
			}
		}
		return false
	}
	for _, test := range []struct {
		v    version
		name string
		want bool
	}{
		{version{5, 10}, "console", false},
		{version{5, 10}, "prb_commit", true},
		{version{6, 0}, "prb_commit", true},
		{version{6, 1}, "prb_commit", false},
		{version{6, 1}, "console", true},
		{version{6, 4}, "idempotent_init_module", false},
		{version{7, 3}, "idempotent_init_module", true},
		{version{7, 3}, "finit_module", true},
	} {
		if got := has(test.v, test.name); got != test.want {
			t.Errorf("%v has %s: %t", test.v, test.name, got)
		}
	}
}

// Every hook has its programs, for both architectures' sake by the one that
// this test runs on; and every program has its hook.
func TestProgramsAndHooks(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for _, h := range hooks() {
		found := false
		for _, b := range []Backend{Fentry, Kprobe} {
			for _, name := range h.programs(b) {
				found = found || spec.Programs[name] != nil
				used[name] = true
			}
		}
		if !found && h.need != WherePresent {
			t.Errorf("hook %s has no program", h.name)
		}
	}
	for name := range spec.Programs {
		if !used[name] {
			t.Errorf("program %s has no hook", name)
		}
	}
}

func TestParseKprobeProfile(t *testing.T) {
	got := parseKprobeProfile(strings.NewReader("  do_init_module    12   3\nx 1 2\nx 1 5\nodd line\na b c\n"))
	if diff := cmp.Diff(map[string]uint64{"do_init_module": 3, "x": 7}, got); diff != "" {
		t.Error(diff)
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

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Backend: 9}, {RingSize: 1}, {RingSize: 4095}, {RingSize: 12288}, {RingSize: 1<<20 + 4096},
		{Returns: -1}, {Returns: maxReturns + 1},
	} {
		tr, err := Open(&o)
		if err == nil {
			tr.Close()
		}
		if err == nil || errors.Is(err, ErrNoModules) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
