//go:build !race

package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

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
