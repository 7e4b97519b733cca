package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sampleKinds are the journals that are damaged and tampered with.
func sampleKinds() []string {
	return []string{"whole", "cut", "thinned", "thinned and cut", "version 1 continued"}
}

// sample is a closed journal of some hundred records, of which retention has removed
// some or not, and its anchor.
func sample(t testing.TB, random *rand.Rand, kind string) (path string, anchor Anchor) {
	t.Helper()
	switch kind {
	case "version 1":
		path, anchors := version1Journal(t)
		return path, anchors[1]
	case "version 1 continued":
		return continued(t, random)
	}
	j := make1(t)
	add(t, j, Record{ID: "s", Time: begin, Boot: "boot-1", Kind: KindStarted})
	if _, err := j.AppendInventory(t.Context(), Record{ID: "i", Time: begin, Boot: "boot-1"},
		[]Record{{ID: "i-1", Time: begin, Boot: "boot-1", Module: "ext4"}, {ID: "i-2", Time: begin, Boot: "boot-1", Module: "loop"}}); err != nil {
		t.Fatal(err)
	}
	records := loads(150)
	if kind != "whole" {
		someShare(records)
	}
	add(t, j, records...)
	switch kind {
	case "thinned", "thinned and cut":
		thinSome(t, random, j)
		add(t, j, loads(155)[150:]...)
	}
	switch kind {
	case "cut", "thinned and cut":
		if _, err := j.Retain(t.Context(), Limits{Age: 100e9}, begin.Add(150e9), "boot-1"); err != nil {
			t.Fatal(err)
		}
		more := loads(165)
		add(t, j, more[155:]...)
	}
	return closed(t, j)
}

func closed(t testing.TB, j *Journal) (path string, anchor Anchor) {
	t.Helper()
	anchor, err := j.Anchor(t.Context(), begin)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return j.Path(), anchor
}

// continued is one that an older version began.
func continued(t testing.TB, random *rand.Rand) (path string, anchor Anchor) {
	t.Helper()
	path, _ = version1Journal(t)
	j := reopen(t, path)
	records := loads(100)[70:]
	someShare(records)
	add(t, j, records...)
	thinSome(t, random, j)
	add(t, j, loads(110)[100:]...)
	return closed(t, j)
}

// someShare gives records processes in common, and makes those that failed minor or not.
func someShare(records []Record) {
	for i := range records {
		r := &records[i]
		if i%2 == 0 {
			r.Body = deep(i, 1000+i%5, 40).Body
		}
		if r.Outcome == "failed" && i%3 != 0 {
			r.Class = ClassMinor
		}
	}
}

// thinSome removes some records from between others, by chance.
func thinSome(t testing.TB, random *rand.Rand, j *Journal) {
	t.Helper()
	w := &retaining{j: j, stop: 10 + random.Int64N(j.head.seq-10), now: begin.Add(150e9), boot: "boot-1"}
	for _, class := range []Class{ClassMinor, ClassNormal} {
		if err := w.thin(t.Context(), class, random.Int64N(80<<10)); err != nil {
			t.Fatal(err)
		}
	}
}

func randomDamage(t *testing.T, random *rand.Rand, times int) {
	t.Helper()
	kinds := append(sampleKinds(), "version 1")
	kind := kinds[random.IntN(len(kinds))]
	path, anchor := sample(t, random, kind)
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	records := all(t, r)
	r.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for i := range times {
		damaged := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(damaged, damage(random, whole), 0o600); err != nil {
			t.Fatal(err)
		}
		how := readDamaged(t, damaged, records, anchor)
		found[how]++
		if t.Failed() {
			t.Fatalf("round %d, %s", i, kind)
		}
		if i%4 == 0 {
			writeDamaged(t, damaged)
		}
	}
	t.Log(kind, found)
	if found["verify"] == 0 || found["open"] == 0 {
		t.Errorf("not all ways of finding damage were needed: %v", found)
	}
}

func damage(random *rand.Rand, whole []byte) []byte {
	b := append([]byte(nil), whole...)
	switch random.IntN(10) {
	case 0: // the end is missing
		return b[:random.IntN(len(b))]
	case 1: // a sector was never written
		at := random.IntN(len(b)/512) * 512
		clear(b[at : at+512])
	case 2: // a page was written to the place of another
		from, to := random.IntN(len(b)/4096)*4096, random.IntN(len(b)/4096)*4096
		copy(b[to:to+4096], b[from:])
	default:
		for range 1 + random.IntN(10) {
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		}
	}
	return b
}

// readDamaged says by what the damage was found.
func readDamaged(t *testing.T, path string, want []Record, anchor Anchor) string {
	t.Helper()
	r, err := OpenReadOnly(path)
	if err != nil {
		return "open"
	}
	defer r.Close()
	report, err := r.Verify(t.Context(), anchor)
	if err != nil {
		t.Errorf("verify gives up: %v", err)
		return ""
	}
	var got []Record
	for one, err := range r.Query(t.Context(), Filter{OldestFirst: true}) {
		if err != nil {
			break
		}
		got = append(got, one)
	}
	if !report.OK() {
		return "verify"
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("wrong, and nothing is said: %s", diff)
	}
	return "harmless"
}

// writeDamaged goes on with a damaged journal as the service would.
func writeDamaged(t *testing.T, path string) {
	t.Helper()
	j, err := Open(path, nil)
	if err == nil {
		for i := range 5 {
			if _, err = j.Append(t.Context(), load(1000+i, "after")); err != nil {
				break
			}
		}
		if _, e := j.Retain(t.Context(), Limits{Bytes: 50 << 10}, begin, "boot-1"); e != nil && !errors.Is(e, ErrCorrupt) {
			t.Logf("retention: %v", e)
		}
		j.Close()
	}
	if err == nil || errors.Is(err, ErrNewer) || errors.Is(err, ErrForeign) {
		return
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Logf("not said to be damage: %v", err)
	}
	if _, err := SetAside(path, begin); err != nil {
		t.Error(err)
	}
	j, err = Open(path, nil)
	if err != nil {
		t.Fatalf("a new one cannot be begun: %v", err)
	}
	add(t, j, load(1, "new"))
	verify(t, j.Reader)
	j.Close()
}

// A damaged log loses its end: what is left is the beginning of what was appended, and
// an anchor tells.
func TestDamagedLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := reopen(t, path)
	for _, r := range loads(60) {
		add(t, j, r)
	}
	anchor, _ := j.Anchor(t.Context(), begin)
	want := all(t, j.Reader)
	file, log := copyable(t, path), copyable(t, path+"-wal")
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	short := 0
	for range 40 {
		copied := filepath.Join(t.TempDir(), "journal.db")
		content, _ := os.ReadFile(file)
		if err := errors.Join(os.WriteFile(copied, content, 0o600), os.WriteFile(copied+"-wal", damage(random, whole), 0o600)); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReadOnly(copied)
		if err != nil {
			short++
			continue
		}
		got := all(t, r)
		report, err := r.Verify(t.Context(), anchor)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[:len(got)], got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		if len(got) < len(want) {
			short++
		}
		if report.OK() != (len(got) == len(want)) {
			t.Errorf("%d records of %d, and the anchor says %v", len(got), len(want), report.Problems)
		}
		r.Close()
	}
	if short == 0 {
		t.Error("no damage did anything")
	}
}
