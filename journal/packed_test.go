package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
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

// A thousand actions of one process cost a reference each.
func TestAlikeActionsCostLittle(t *testing.T) {
	j := make1(t)
	for i := range 100 {
		var batch []Record
		for k := range 10 {
			batch = append(batch, deep(10*i+k, 4121, 4000))
		}
		add(t, j, batch...)
	}
	size, err := j.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	each := size.Bytes / 1000
	t.Logf("%d bytes a record, of bodies of %d", each, len(deep(1, 4121, 4000).Body))
	if each > 2000 {
		t.Errorf("%d bytes a record", each)
	}
}

// A body that is too large is shortened, and says so: no action is lost for it.
func TestBodiesAreShortened(t *testing.T) {
	j := make1(t)
	huge := func(make func(object map[string]any)) []byte {
		object := map[string]any{"id": "7", "action": "load", "module": "m", "outcome": "failed", "start_boottime_ns": json.Number("12345678901234567890")}
		make(object)
		body, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	some := func(n, long int) (list []any) {
		for i := range n {
			list = append(list, fmt.Sprint(i, strings.Repeat("ü", long)))
		}
		return list
	}
	for name, body := range map[string][]byte{
		"a long text": huge(func(o map[string]any) { o["text"] = strings.Repeat("x", 3<<20) }),
		"many texts":  huge(func(o map[string]any) { o["messages"] = some(20_000, 10) }),
		"long texts":  huge(func(o map[string]any) { o["messages"] = some(1000, 1000) }),
		"deep": huge(func(o map[string]any) {
			o["actor"] = map[string]any{"args": some(30_000, 5), "ancestors": []any{map[string]any{"args": some(9000, 9)}}}
		}),
		"a long number": huge(func(o map[string]any) { o["n"] = json.Number(strings.Repeat("9", 300_000)) }),
		"many members": huge(func(o map[string]any) {
			for i := range 100_000 {
				o[fmt.Sprint("m", i)] = i
			}
		}),
		"nested in lists": []byte(`{"action":"load","x":` + strings.Repeat("[", 5000) + `"` + strings.Repeat("y", 300_000) + `"` + strings.Repeat("]", 5000) + `}`),
	} {
		for _, class := range []Class{ClassNormal, ClassMinor} {
			r := load(int(class), name)
			r.ID, r.Outcome, r.Class, r.Body = fmt.Sprint(name, class), "failed", class, body
			add(t, j, r)
			got, err := j.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			var is struct {
				Cut    bool
				Action string
				Start  json.Number `json:"start_boottime_ns"`
			}
			limit := map[Class]int{ClassNormal: MaxStored, ClassMinor: MaxMinor}[class]
			if err := json.Unmarshal(got.Body, &is); err != nil || !is.Cut || len(got.Body) > 2*limit {
				t.Errorf("%s: %d bytes, %v, %v", name, len(got.Body), is, err)
			}
			if name != "many members" && is.Action != "load" || is.Start != "" && is.Start != "12345678901234567890" {
				t.Errorf("%s: %+v", name, is)
			}
		}
	}
	r := load(1, "m")
	r.Body = bytes.Repeat([]byte("x"), MaxStored+1)
	_, err := j.Append(t.Context(), r)
	check(t, "a body that is not JSON", err, ErrTooLarge, "too large")
	verify(t, j.Reader)
}

// Lists and the texts in them go before what is in none, and what takes little for being
// there many times can be read again.
func TestWhatIsShortenedFirst(t *testing.T) {
	j := make1(t)
	long := func(n int) string { return fmt.Sprint(n, strings.Repeat("p", 4000)) }
	process := func(n int) map[string]any { return map[string]any{"uid": n, "exe": map[string]any{"path": long(n)}} }
	who := func(n, ancestors int) map[string]any {
		p, list := process(n), []any{}
		for i := range ancestors {
			list = append(list, process(n*100+i))
		}
		p["ancestors"] = list
		return p
	}
	same := []any{}
	for range 200 {
		same = append(same, map[string]any{"actor": who(7, 32)})
	}
	for name, object := range map[string]map[string]any{
		"different": {"messages": same[:4], "awaited_by": []any{map[string]any{"actor": who(1, 100)}, map[string]any{"actor": who(2, 100)}}},
		"the same":  {"awaited_by": same},
	} {
		object["file"], object["actor"], object["requester"] = process(5), who(3, 200), map[string]any{"actor": who(4, 200)}
		body, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, class := range []Class{ClassNormal, ClassMinor} {
			r := load(int(class), name)
			r.ID, r.Outcome, r.Class, r.Body = fmt.Sprint(name, class), "failed", class, body
			add(t, j, r)
			got, err := j.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			type process struct {
				UID int
				Exe struct{ Path string }
			}
			var is struct {
				Cut         bool
				File, Actor process
				Requester   struct{ Actor process }
			}
			if err := json.Unmarshal(got.Body, &is); err != nil || !is.Cut {
				t.Errorf("%s: cut: %v, %v", r.ID, is.Cut, err)
			}
			for n, p := range map[int]process{3: is.Actor, 4: is.Requester.Actor, 5: is.File} {
				if p.UID != n || p.Exe.Path != long(n) {
					t.Errorf("%s: of %d there is %d, %.20q… of %d bytes", r.ID, n, p.UID, p.Exe.Path, len(p.Exe.Path))
				}
			}
		}
	}
	verify(t, j.Reader)
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

// Values that are far larger than may be, in every column and table: whatever is asked,
// they are not read into memory.
func TestForgedSizes(t *testing.T) {
	const huge = 40 << 20
	for name, statement := range map[string]string{
		"body":      "UPDATE record SET body = zeroblob(?) WHERE seq = 3",
		"module":    "UPDATE record SET module = CAST(zeroblob(?) AS TEXT) WHERE seq = 3",
		"id":        "UPDATE record SET id = CAST(zeroblob(?) AS TEXT) WHERE seq = 3",
		"user":      "UPDATE record SET user = CAST(zeroblob(?) AS TEXT) WHERE seq = 3",
		"boot":      "UPDATE record SET boot = CAST(zeroblob(?) AS TEXT) WHERE seq = 3",
		"hash":      "UPDATE record SET hash = zeroblob(?) WHERE seq = 3",
		"shared":    "UPDATE shared SET value = zeroblob(?) WHERE rowid = 1",
		"retention": "UPDATE record SET kind = 'retention', body = zeroblob(?) WHERE seq = 3",
		"thinned":   "UPDATE record SET kind = 'thinned', body = zeroblob(?) WHERE seq = 3",
		"first":     "UPDATE first SET value = CAST(zeroblob(?) AS TEXT) WHERE seq = 1 AND what = 'module'",
		"name":      "UPDATE head SET journal = CAST(zeroblob(?) AS TEXT)",
		"cursor":    "INSERT INTO cursor VALUES (CAST(zeroblob(?) AS TEXT), 7)",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j := reopen(t, path)
			for i := range 6 {
				add(t, j, deep(i, 4121, 40))
			}
			j.Close()
			db := forgery(t, path)
			if _, err := db.Exec(statement, huge); err != nil {
				t.Fatal(err)
			}
			db.Close()
			allocated := allocation(func() { askForged(t, path) })
			if allocated > 30<<20 {
				t.Errorf("%d MB allocated", allocated>>20)
			}
		})
	}
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
	} else if report.OK() && !strings.Contains(t.Name(), "cursor") {
		t.Error("nothing is found")
	}
}
