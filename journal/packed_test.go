package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// bodies are texts that are shared in part, or look as if.
func bodies() []string {
	process := `{"pid": 7, "comm":"a\"b\\", "exe":{"path":"/` + strings.Repeat("x", 200) + `"}}`
	actor := `{"pid":1,"ancestors":[` + process + `,` + process + ` , {"pid":2}],"args":["` + strings.Repeat("y", 150) + `"]}`
	long := strings.Repeat("z", 300)
	return []string{
		"", "x", "{", "{}", "[]", "null", `"actor"`, "\xff\xfe", `{"actor":`,
		`{"actor":` + actor + `}`, ` {"actor":` + actor + `}`, `{"actor":` + actor + `} `, `{ "actor" : ` + actor + ` , "n" : 1 }`,
		`{"actor":` + actor + `,"actor":` + actor + `}`, `{"actor":[` + actor + `,1]}`, `{"actor":"` + long + `"}`,
		`{"requester":{"actor":` + actor + `,"requester":{"actor":` + actor + `}},"awaited_by":[{"actor":` + actor + `}]}`,
		`{"\u0061ctor":` + actor + `}`, `{"other":{"actor":` + actor + `}}`,
		`{"text":"{\"actor\":` + long + `","actor":{}}`, `{"ancestors":[],"actor":[[],[[` + actor + `]],{}]}`,
		`{"ancestors":[` + strings.TrimSuffix(strings.Repeat(process+",", 40), ",") + `]}`,
		strings.Repeat(`{"actor":{"long":"`+long+`","in":`, 12) + "1" + strings.Repeat("}}", 12),
		`{"shared":"` + strings.Repeat("ab", 32) + `","actor":{"$ref":"` + strings.Repeat("ab", 32) + `","pad":"` + long + `"}}`,
		`{"n":-1.5e+10,"t":true,"f":false,"x":null,"actor":` + actor + `,"e":[]}`,
	}
}

// Every body comes back to the byte, whatever it shares, also one that looks like what is
// in the file.
func TestBodiesComeBack(t *testing.T) {
	j := make1(t)
	texts := bodies()
	for _, text := range bodies() { // what the file has of it is a body too
		if p := pack([]byte(text)); p != nil {
			texts = append(texts, string(p.data))
		}
	}
	want := map[string]string{}
	for i, text := range texts {
		for twice := range 2 {
			r := load(2*i+twice, "m")
			r.Body = []byte(text)
			want[r.ID] = text
			add(t, j, r)
		}
	}
	verify(t, j.Reader)
	j = reopenAfter(t, j)
	for _, r := range all(t, j.Reader) {
		if string(r.Body) != want[r.ID] {
			t.Errorf("%q\ncame back as\n%q", want[r.ID], r.Body)
		}
	}
	if n := partsIn(t, j); n == 0 {
		t.Error("nothing is shared")
	}
	for id, text := range want {
		if r, err := j.Get(t.Context(), id); err != nil || string(r.Body) != text {
			t.Errorf("get %s: %v, %v", id, r, err)
		}
	}
}

func FuzzPack(f *testing.F) {
	for _, text := range bodies() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p := pack(text)
		if p == nil {
			return
		}
		known := map[Sum][]byte{}
		var keep func(*packed)
		keep = func(p *packed) {
			known[p.sum] = p.data
			for _, in := range p.parts {
				keep(in)
			}
		}
		keep(p)
		var open func(data []byte) []byte
		open = func(data []byte) (text []byte) {
			if err := unpack(data, func(literal []byte, part *Sum) error {
				text = append(text, literal...)
				if part != nil {
					text = append(text, open(known[*part])...)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return text
		}
		if got := open(p.data); !bytes.Equal(got, text) {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}

// A forged file whose bodies refer to parts over and over, or to each other: the record
// is said to be changed, in bounded memory.
func TestReferenceBombs(t *testing.T) {
	text := func(n int, pieces ...any) []byte { // of literals and sums
		data := binary.AppendUvarint(nil, uint64(n))
		for _, p := range pieces {
			switch p := p.(type) {
			case string:
				data = append(binary.AppendUvarint(data, uint64(len(p))), p...)
			case Sum:
				data = append(data, p[:]...)
			}
		}
		return data
	}
	repeat := func(n, size int, s Sum) []byte {
		pieces := []any{""}
		for range n {
			pieces = append(pieces, s, "")
		}
		return text(size, pieces...)
	}
	for name, forge := range map[string]func(put func([]byte) Sum) []byte{
		"each ten times the next": func(put func([]byte) Sum) []byte {
			s := put(text(1000, strings.Repeat("x", 1000)))
			size := 1000
			for range 5 {
				size *= 10
				s = put(repeat(10, min(size, MaxBody), s))
			}
			return repeat(10, MaxBody, s)
		},
		"nothing, many times": func(put func([]byte) Sum) []byte {
			s := put(text(0, ""))
			for range 5 {
				s = put(repeat(100_000, 0, s))
			}
			return repeat(100_000, 1, s)
		},
		"too deep": func(put func([]byte) Sum) []byte {
			s := put(text(1, "x"))
			for range 50 {
				s = put(repeat(1, 1, s))
			}
			return repeat(1, 1, s)
		},
		"too long":       func(func([]byte) Sum) []byte { return text(1<<40, "x") },
		"cut":            func(func([]byte) Sum) []byte { return []byte{5, 200} },
		"another length": func(put func([]byte) Sum) []byte { return repeat(1, 7, put(text(1, "x"))) },
		"nowhere":        func(func([]byte) Sum) []byte { return repeat(1, 1, Sum{1}) },
		"empty":          func(func([]byte) Sum) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			j := make1(t)
			add(t, j, load(1, "before"))
			path := j.Path()
			j.Close()
			db := forgery(t, path)
			put := func(data []byte) Sum {
				s := Sum(sha256.Sum256(data))
				if _, err := db.Exec("INSERT OR IGNORE INTO shared VALUES (?, 1, ?)", s[:], data); err != nil {
					t.Fatal(err)
				}
				return s
			}
			k := kept{Record: load(2, "bomb"), form: formPacked}
			k.Seq, k.Class, k.Body = 2, ClassKept, forge(put)
			db.insert(t, &k)
			db.Close()
			r, err := OpenReadOnly(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			allocated := allocation(func() {
				bad := 0
				for one, err := range r.Query(t.Context(), Filter{}) {
					if err != nil && (!errors.Is(err, ErrCorrupt) || one.Seq != 2) {
						t.Error(one.Seq, err)
					}
					if err != nil {
						bad++
					}
				}
				if bad != 1 {
					t.Errorf("%d records are bad", bad)
				}
				if _, err := r.Verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if allocated > 1<<30 {
				t.Errorf("%d MB allocated", allocated>>20)
			}
		})
	}
}

// allocation tells how many bytes are allocated meanwhile.
func allocation(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func askForged(t *testing.T, path string) {
	t.Helper()
	r, err := OpenReadOnly(path)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		return
	}
	defer r.Close()
	errs := 0
	count := func(err error) {
		if err == nil {
			return
		}
		if errs++; !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
	for _, err := range r.Query(t.Context(), Filter{}) {
		count(err)
	}
	for _, err := range r.Query(t.Context(), Filter{Modules: []string{"hello"}, Users: []string{"alice"}}) {
		count(err)
	}
	for _, name := range []string{"3", "a-2", "a-"} {
		_, err := r.Get(t.Context(), name)
		if several := new(AmbiguousError); !errors.As(err, &several) {
			count(err)
		}
	}
	_, err = r.ReadFrom(t.Context(), 1, 10)
	count(err)
	_, err = r.LoadedAt(t.Context(), begin.AddDate(0, 0, 1))
	count(err)
	for _, c := range []Column{ByModule, ByUser, ByBoot} {
		_, err = r.Values(t.Context(), c)
		count(err)
	}
	_, err = r.Boots(t.Context())
	count(err)
	for _, err := range r.FirstSeen(t.Context(), Modules, begin, begin.AddDate(1, 0, 0)) {
		count(err)
	}
	_, err = r.Cursor(t.Context(), "out")
	count(err)
	report, err := r.Verify(t.Context())
	if err != nil {
		t.Error(err)
	} else if report.OK() {
		t.Error("nothing is found")
	}
}
