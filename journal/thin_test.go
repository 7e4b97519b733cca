package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// model is what a journal should have: every record that was appended, by its number.
type model struct {
	t       *testing.T
	random  *rand.Rand
	j       *Journal
	n       int
	records map[int64]Record // those that are not known to be removed
}

func (m *model) append() {
	var batch []Record
	for range 1 + m.random.IntN(20) {
		m.n++
		var r Record
		switch m.random.IntN(10) {
		case 0, 1, 2:
			r = deep(m.n, 1000+m.random.IntN(6), 40+m.random.IntN(3))
		case 3, 4, 5:
			r = load(m.n, fmt.Sprint("m", m.random.IntN(20)))
			r.Outcome, r.Cause = "failed", "vermagic"
		case 6:
			r = load(m.n, fmt.Sprint("alias-", m.n))
			r.Action, r.Outcome = Request, "answered"
		case 7:
			r = load(m.n, "")
			r.Kind, r.Action, r.Outcome = KindLost, "", ""
		default:
			r = load(m.n, fmt.Sprint("m", m.random.IntN(20)))
		}
		r.Class = Class(m.random.IntN(int(ClassKept) + 1))
		batch = append(batch, r)
	}
	for i, a := range add(m.t, m.j, batch...) {
		batch[i].Class = batch[i].class()
		m.records[a.Seq] = batch[i]
	}
}

// retain removes some, and sees that what is left matters more than what went.
func (m *model) retain() {
	m.t.Helper()
	size, err := m.j.Size(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	limits := Limits{Bytes: 1 + m.random.Int64N(size.Bytes)}
	if m.random.IntN(3) == 0 {
		limits.KeepFrom = 1 + m.random.Int64N(max(size.Last, 1)) // of an empty one, the record to come
	}
	stop := size.Last - 1
	if limits.KeepFrom > 0 {
		stop = min(stop, limits.KeepFrom-1)
	}
	removal := retain(m.t, m.j, limits, begin)
	left := map[int64]bool{}
	lowest := map[Class]bool{}
	for _, r := range all(m.t, m.j.Reader) {
		left[r.Seq] = true
		if r.Seq <= stop {
			lowest[r.Class] = true
		}
	}
	gone := int64(0)
	for seq, r := range m.records {
		if left[seq] {
			continue
		}
		gone++
		if seq > stop {
			m.t.Fatalf("record %d was to be kept from %d on", seq, limits.KeepFrom)
		}
		if removal.Through == 0 && (lowest[ClassMinor] && r.Class != ClassMinor || lowest[ClassNormal] && r.Class == ClassKept) {
			m.t.Fatalf("record %d of class %d was removed before others: %+v", seq, r.Class, removal)
		}
		delete(m.records, seq)
	}
	if removal.Through == 0 && gone != removal.Records || removal.Thinned > removal.Records {
		m.t.Fatalf("%d were removed: %+v", gone, removal)
	}
}

// check compares all that is there.
func (m *model) check() {
	m.t.Helper()
	verify(m.t, m.j.Reader)
	seen := 0
	for _, r := range all(m.t, m.j.Reader) {
		want, ok := m.records[r.Seq]
		switch {
		case !ok && (r.Kind == KindRetention || r.Kind == KindThinned):
		case !ok:
			m.t.Fatalf("record %d is there again", r.Seq)
		case r.ID != want.ID || !bytes.Equal(r.Body, want.Body) || r.Class != want.Class || r.Module != want.Module:
			m.t.Fatalf("record %d is not what was appended", r.Seq)
		default:
			seen++
		}
	}
	if seen != len(m.records) {
		m.t.Fatalf("%d records are there of %d", seen, len(m.records))
	}
	for _, f := range []Filter{{Modules: []string{"m3"}}, {Outcomes: []string{"failed"}, Users: []string{"alice"}}, {Kinds: []Kind{KindLost}}, {Since: begin.Add(time.Duration(m.n/2) * time.Second)}} {
		var want []int64
		for seq, r := range m.records {
			if len(f.Modules) > 0 && r.Module != f.Modules[0] || len(f.Outcomes) > 0 && (r.Outcome != f.Outcomes[0] || r.User != "alice") ||
				len(f.Kinds) > 0 && r.Kind != f.Kinds[0] || r.Time.Before(f.Since) {
				continue
			}
			want = append(want, seq)
		}
		slices.Sort(want)
		f.OldestFirst = true
		var got []int64
		for _, r := range collect(m.t, m.j.Reader, f) {
			if _, ok := m.records[r.Seq]; ok {
				got = append(got, r.Seq)
			}
		}
		if !slices.Equal(got, want) {
			m.t.Fatalf("%+v: %v, want %v", f, got, want)
		}
	}
	if size, err := m.j.Size(m.t.Context()); err != nil || size.Records() != int64(len(all(m.t, m.j.Reader))) {
		m.t.Fatalf("%+v, %v", size, err)
	}
}

func byChance(t *testing.T, random *rand.Rand) {
	t.Helper()
	m := &model{t: t, random: random, j: make1(t), records: map[int64]Record{}}
	for range 40 {
		switch random.IntN(6) {
		case 0:
			m.retain()
		case 1:
			m.j = reopenAfter(t, m.j)
		default:
			m.append()
		}
	}
	m.check()
	m.retain()
	m.check()
}

// Nothing is left of what bodies shared when the bodies are gone.
func TestSharedPartsGoWithTheirRecords(t *testing.T) {
	j := make1(t)
	for i := range 60 {
		add(t, j, deep(i, 1000+i%9, 300))
	}
	if n := partsIn(t, j); n < 10 {
		t.Errorf("%d parts are shared", n)
	}
	add(t, j, load(99, "m")) // the last stays
	retain(t, j, Limits{Bytes: 1}, begin)
	verify(t, j.Reader)
	if n := partsIn(t, j); n != 0 {
		t.Errorf("%d parts are left", n)
	}
}

func partsIn(t testing.TB, j *Journal) (n int) {
	t.Helper()
	if err := j.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM shared").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// thinAll removes all that is minor or normal.
func thinAll(t testing.TB, j *Journal) {
	t.Helper()
	w := &retaining{j: j, stop: j.head.seq - 1, now: begin, boot: "boot-1"}
	for _, class := range []Class{ClassMinor, ClassNormal} {
		if err := w.thin(t.Context(), class, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// What says which modules are loaded is kept, whatever its caller says.
func TestClasses(t *testing.T) {
	j := make1(t)
	for i, c := range []struct {
		spoil func(*Record)
		want  Class
	}{
		{func(*Record) {}, ClassKept},
		{func(r *Record) { r.Class = ClassMinor }, ClassKept},
		{func(r *Record) { r.Action, r.Outcome, r.Class = Unload, Unloaded, ClassMinor }, ClassKept},
		{func(r *Record) { r.Outcome, r.Class = Pending, ClassMinor }, ClassKept},
		{func(r *Record) { r.Action, r.Outcome, r.Class = Request, Pending, ClassMinor }, ClassMinor},
		{func(r *Record) { r.Outcome = "failed" }, ClassNormal},
		{func(r *Record) { r.Outcome, r.Class = "failed", ClassMinor }, ClassMinor},
		{func(r *Record) { r.Outcome, r.Class = "failed", ClassKept }, ClassKept},
		{func(r *Record) { r.Kind = KindFolded }, ClassMinor},
		{func(r *Record) { r.Kind, r.Class = KindFolded, ClassNormal }, ClassNormal},
		{func(r *Record) { r.Kind, r.Class = KindLost, ClassMinor }, ClassKept},
		{func(r *Record) { r.Kind, r.Class = KindAppeared, ClassMinor }, ClassKept},
	} {
		r := load(i, "m")
		c.spoil(&r)
		add(t, j, r)
		if got, err := j.Get(t.Context(), r.ID); err != nil || got.Class != c.want {
			t.Errorf("%d: %v, %v, want class %d", i, got, err, c.want)
		}
	}
	verify(t, j.Reader)
}

// Anybody can try to load what is not a module: that is not seen to exist, and does not grow
// what is kept for ever.
func TestMinorRecordsAreNotSeenFirst(t *testing.T) {
	j := make1(t)
	for i := range 50 {
		r := load(i, fmt.Sprint("nonsense-", i))
		r.Outcome, r.Class = "failed", ClassMinor
		add(t, j, r)
	}
	if got := firstSeqs(t, j); len(got) != 0 {
		t.Errorf("%v", got)
	}
	verify(t, j.Reader)
}

// Modules that came and went unseen.
func TestAppearedAndVanished(t *testing.T) {
	j := make1(t)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second) }
	event := func(n int, kind Kind, module string) Record {
		return Record{ID: fmt.Sprint("e-", n), Time: at(n), Boot: "boot-1", Kind: kind, Module: module}
	}
	loaded := func(n int) string {
		t.Helper()
		l, err := j.LoadedAt(t.Context(), at(n))
		if err != nil || len(l.Doubts) > 0 {
			t.Fatalf("%+v, %v", l, err)
		}
		text := ""
		for _, m := range l.Modules {
			text += fmt.Sprintf("%s %s %s;", m.Module, m.Kind, m.User)
		}
		return text
	}
	inventory := func(n int, modules ...string) {
		var found []Record
		for i, m := range modules {
			found = append(found, Record{ID: fmt.Sprint("p-", n, i), Time: at(n), Boot: "boot-1", Module: m})
		}
		if _, err := j.AppendInventory(t.Context(), Record{ID: fmt.Sprint("i-", n), Time: at(n), Boot: "boot-1"}, found); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(n int, want string) {
		t.Helper()
		if got := loaded(n); got != want {
			t.Errorf("at %d: %q, want %q", n, got, want)
		}
	}
	add(t, j, event(0, KindStarted, ""))
	inventory(1, "ext4")
	add(t, j, event(2, KindAppeared, "rootkit"))
	expect(1, "ext4 present ;")
	expect(2, "ext4 present ;rootkit appeared ;")
	add(t, j, event(3, KindVanished, "ext4"))
	expect(3, "rootkit appeared ;")
	add(t, j, load(4, "ext4"))
	expect(4, "ext4 action alice;rootkit appeared ;")
	add(t, j, event(5, KindVanished, "ext4"))
	inventory(6, "ext4", "rootkit") // loaded again, unseen
	expect(6, "ext4 present ;rootkit appeared ;")
	if got := firstSeqs(t, j)["modulerootkit"]; got != 4 {
		t.Errorf("seen first in record %d", got)
	}
	verify(t, j.Reader)
	add(t, j, event(7, KindBlind, ""))
	if l, err := j.LoadedAt(t.Context(), at(8)); err != nil || len(l.Doubts) != 1 || l.Doubts[0].Reason != Unseen {
		t.Errorf("after blindness: %+v, %v", l, err)
	}
}

// noise makes paths of a body that no other has.
func noise(body []byte, n int) []byte {
	return bytes.ReplaceAll(body, []byte("eeeeeeeeee"), fmt.Appendf(nil, "e%09d", n))
}

func onDisk(t testing.TB, path string) (sum int64) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// When little is left on the disk, what is minor is refused, and what is not goes in.
func TestReserve(t *testing.T) {
	dir := mounted(t, "size=8m")
	j := reopen(t, filepath.Join(dir, "journal.db"))
	defer j.Close()
	minor := func(n int) Record {
		r := load(n, "m")
		r.Outcome, r.Class = "failed", ClassMinor
		return r
	}
	j.SetRoom(Room{Reserve: 4 << 20})
	add(t, j, minor(1))
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := j.Append(t.Context(), load(2, "real"), minor(3))
	check(t, "append with a minor one", err, ErrReserve, "no space left on its disk for minor records")
	check(t, "append with a minor one", err, ErrFull, "of a reserve of 4 MiB")
	add(t, j, load(2, "real"))
	failed := load(4, "m")
	failed.Outcome = "failed"
	add(t, j, failed)
	os.Remove(filepath.Join(dir, "ballast"))
	add(t, j, minor(3))
	verify(t, j.Reader)
}

// A journal that is larger than its room is due, until retention has made it smaller.
func TestDue(t *testing.T) {
	j := make1(t)
	j.SetRoom(Room{Bytes: 1 << 20})
	for n := 0; !j.Due(); n++ {
		r := load(n, "m")
		r.Body = bytes.Repeat([]byte("b"), 20_000)
		add(t, j, r)
		if n > 100 {
			t.Fatal("two megabytes, and nothing is due")
		}
	}
	retain(t, j, Limits{Bytes: 1 << 20}, begin)
	if j.Due() {
		t.Error("it is still due")
	}
	j.SetRoom(Room{Bytes: 1000})
	if !j.Due() {
		t.Error("a smaller room is not seen")
	}
	j.SetRoom(Room{})
	if j.Due() {
		t.Error("due without a limit")
	}
}
