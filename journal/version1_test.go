package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// version1Journal is a copy of a journal that the code wrote which knew version 1 only,
// with 60 records of which retention removed some, and its two anchors.
func version1Journal(t testing.TB) (path string, anchors []Anchor) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.db")
	file, err := os.ReadFile("testdata/version1.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile("testdata/version1.db.anchors")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		a, err := ParseAnchor(line)
		if err != nil {
			t.Fatal(err)
		}
		anchors = append(anchors, a)
	}
	return path, anchors
}

// version1Records are what that code read from it.
func version1Records(t testing.TB) (records []Record) {
	t.Helper()
	text, err := os.ReadFile("testdata/version1.db.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &records); err != nil {
		t.Fatal(err)
	}
	return records
}

// A journal of version 1 is read as it is, and nothing is written to it or beside it.
func TestVersion1IsRead(t *testing.T) {
	path, anchors := version1Journal(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := version1Records(t)
	if diff := cmp.Diff(want, all(t, r), sameTime()); diff != "" {
		t.Error(diff)
	}
	if report := verify(t, r, anchors...); report.Anchors != 2 || report.Removed == 0 {
		t.Errorf("%+v", report)
	}
	askAll(t, r, want)
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it are %v, %v", entries, err)
	}
}

func sameTime() cmp.Option { return cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }) }

// askAll asks every kind of question of that journal.
func askAll(t *testing.T, r *Reader, want []Record) {
	t.Helper()
	if got := collect(t, r, Filter{Modules: []string{"m3"}, Outcomes: []string{Live}, OldestFirst: true}); !slices.EqualFunc(got, slices.DeleteFunc(slices.Clone(want), func(r Record) bool {
		return r.Module != "m3" || r.Outcome != Live
	}), func(a, b Record) bool { return a.ID == b.ID }) {
		t.Errorf("%v", seqsOf(got))
	}
	for _, w := range want {
		if got, err := r.Get(t.Context(), w.ID); err != nil || got.Hash != w.Hash || !bytes.Equal(got.Body, w.Body) {
			t.Errorf("get %s: %v, %v", w.ID, got, err)
		}
	}
	loaded, err := r.LoadedAt(t.Context(), begin.Add(65*time.Second))
	if err != nil || !slices.Contains(namesOf(loaded), "ext4") || len(loaded.Modules) < 15 {
		t.Errorf("%+v, %v", loaded, err)
	}
	firsts := 0
	for f, err := range r.FirstSeen(t.Context(), Modules, time.Time{}, time.Time{}) {
		if err != nil || f.Value == "" {
			t.Errorf("%+v, %v", f, err)
		}
		firsts++
	}
	if firsts != 19 {
		t.Errorf("%d modules were seen", firsts)
	}
	if users, err := r.Values(t.Context(), ByUser); err != nil || !slices.Equal(users, []string{"alice", "bob"}) {
		t.Errorf("%v, %v", users, err)
	}
	if boots, err := r.Boots(t.Context()); err != nil || len(boots) != 1 {
		t.Errorf("%v, %v", boots, err)
	}
	if seq, err := r.Cursor(t.Context(), "out"); err != nil || seq != 5 {
		t.Errorf("%d, %v", seq, err)
	}
	if size, err := r.Size(t.Context()); err != nil || size.Records() < int64(len(want)) {
		t.Errorf("%+v, %v", size, err)
	}
	if got, err := r.ReadFrom(t.Context(), want[3].Seq, 2); err != nil || len(got) != 2 || got[0].ID != want[3].ID {
		t.Errorf("%v, %v", seqsOf(got), err)
	}
}

// Open brings it to the newest version: its records, hashes and anchors stay what they
// were, and it goes on.
func TestVersion1IsContinued(t *testing.T) {
	path, anchors := version1Journal(t)
	j := reopen(t, path)
	want := version1Records(t)
	if diff := cmp.Diff(want, all(t, j.Reader), sameTime()); diff != "" {
		t.Error(diff)
	}
	askAll(t, j.Reader, want)
	verify(t, j.Reader, anchors...)
	if j.New() {
		t.Error("it is said to be new")
	}
	more := loads(100)[70:]
	someShare(more)
	add(t, j, more...)
	verify(t, j.Reader, anchors...)
	j = reopenAfter(t, j)
	w := &retaining{j: j, stop: j.head.seq - 1, now: begin.Add(100e9), boot: "boot-1"}
	for _, class := range []Class{ClassMinor, ClassNormal} {
		if err := w.thin(t.Context(), class, 0); err != nil {
			t.Fatal(err)
		}
	}
	verify(t, j.Reader, anchors...)
	for _, r := range all(t, j.Reader) {
		if r.Kind == KindAction && r.Outcome != Live && r.Seq < w.stop {
			t.Errorf("record %d failed, and is kept", r.Seq)
		}
	}
}

// One that was tampered with is not continued as if it were in order.
func TestVersion1IsCheckedBeforeItIsContinued(t *testing.T) {
	path, _ := version1Journal(t)
	if err := execute(path, "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record WHERE seq = new.seq; END"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, nil)
	check(t, "open", err, ErrCorrupt, "trigger t of record was added")
}
