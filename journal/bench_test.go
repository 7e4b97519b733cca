package journal

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// large is the size of the benchmarks' journal in megabytes; KMODTRACE_JOURNAL_MB sets
// another.
const large = 32

var generated = sync.OnceValues(generate)

// generate makes a journal of a large size: some hundred modules, few of which most
// records are about, some users, and an inventory now and then. KMODTRACE_JOURNAL names
// a place where it is kept for the next time.
func generate() (string, error) {
	size := int64(large)
	if text := os.Getenv("KMODTRACE_JOURNAL_MB"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", err
		}
		size = n
	}
	path := os.Getenv("KMODTRACE_JOURNAL")
	if path == "" {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, "journal.db")
	}
	if info, err := os.Stat(path); err == nil && info.Size() >= size<<20 {
		return path, nil
	}
	j, err := Open(path, nil)
	if err != nil {
		return "", err
	}
	return path, fill(j, size<<20)
}

func fill(j *Journal, size int64) error {
	defer j.Close()
	random := rand.New(rand.NewPCG(1, 1))
	g := &generator{random: random, body: bytes.Repeat([]byte(`{"action":"load","stage":"init"},`), 70)}
	for {
		if g.n >= 100_000*g.boots {
			start, found := g.boot()
			if _, err := j.Append(context.Background(), start); err != nil {
				return err
			}
			if _, err := j.AppendInventory(context.Background(), g.record(KindInventory), found); err != nil {
				return err
			}
		}
		var batch []Record
		for range 1000 {
			batch = append(batch, g.action())
		}
		if _, err := j.Append(context.Background(), batch...); err != nil {
			return err
		}
		if s, err := j.Size(context.Background()); err != nil || s.Bytes+s.Log > size {
			return err
		}
	}
}

type generator struct {
	random *rand.Rand
	body   []byte
	n      int
	boots  int
}

func (g *generator) record(kind Kind) Record {
	g.n++
	return Record{ID: fmt.Sprintf("%08x-%d", g.random.Uint32(), g.n), Time: begin.Add(time.Duration(g.n) * time.Minute),
		Boot: fmt.Sprintf("0e9a7ad5-4d0f-4b39-9c3f-%012d", g.boots), Kind: kind}
}

func (g *generator) boot() (Record, []Record) {
	g.boots++
	start := g.record(KindStarted)
	var found []Record
	for i := range 150 {
		r := g.record(KindPresent)
		r.Module = fmt.Sprint("base_", i)
		found = append(found, r)
	}
	return start, found
}

func (g *generator) action() Record {
	r := g.record(KindAction)
	name := fmt.Sprint("mod_", int(300*g.random.Float64()*g.random.Float64()))
	r.Module, r.Action, r.Outcome, r.File = name, Load, Live, "/lib/modules/6.12.0/kernel/drivers/"+name+".ko"
	r.User, r.Content = pick1(g.random, "root", "alice", "bob", "backup"), fmt.Sprintf("%064x", g.random.IntN(600))
	uid := uint32(g.random.IntN(4))
	r.UID, r.Body = &uid, g.body[:1000+g.random.IntN(len(g.body)-1000)]
	switch g.random.IntN(20) {
	case 0:
		r.Outcome, r.Cause = "failed", pick1(g.random, "vermagic", "symbol-missing", "signature")
	case 1, 2, 3, 4, 5, 6:
		r.Action, r.Outcome, r.File = Unload, Unloaded, ""
	case 7, 8:
		r.Action, r.Outcome, r.Container = Request, "answered", fmt.Sprint("container-", g.random.IntN(30))
	}
	if g.random.IntN(50_000) == 0 {
		r.Module, r.User = "rare", "mallory"
	}
	return r
}

func pick1(random *rand.Rand, of ...string) string { return of[random.IntN(len(of))] }

// BenchmarkQuestions asks what people ask, of a large journal.
func BenchmarkQuestions(b *testing.B) {
	path, err := generated()
	if err != nil {
		b.Fatal(err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	size, err := r.Size(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	last, err := r.Get(b.Context(), fmt.Sprint(size.Last))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d records, %d MB", size.Records(), size.Bytes>>20)
	middle := begin.Add(last.Time.Sub(begin) / 2)
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"newest 100", Filter{Limit: 100}},
		{"a day", Filter{Since: middle, Until: middle.Add(24 * time.Hour)}},
		{"since a week", Filter{Since: last.Time.Add(-7 * 24 * time.Hour), Limit: 1000}},
		{"module", Filter{Modules: []string{"mod_250"}, Limit: 1000}},
		{"module rare", Filter{Modules: []string{"rare"}}},
		{"module none", Filter{Modules: []string{"nobody"}}},
		{"module in a month", Filter{Modules: []string{"mod_10"}, Since: middle, Until: middle.AddDate(0, 1, 0)}},
		{"user", Filter{Users: []string{"alice"}, Limit: 1000}},
		{"user rare", Filter{Users: []string{"mallory"}}},
		{"failed", Filter{Outcomes: []string{"failed"}, Limit: 1000}},
		{"failed by user", Filter{Outcomes: []string{"failed"}, Users: []string{"bob"}, Limit: 1000}},
		{"failed and rare", Filter{Outcomes: []string{"failed"}, Users: []string{"root"}, Actions: []string{Load}, Modules: []string{"mod_299"}}},
		{"cause", Filter{Causes: []string{"signature"}, Limit: 1000}},
		{"container", Filter{Containers: []string{"container-7"}, Limit: 1000}},
		{"boot", Filter{Boots: []string{last.Boot}, Kinds: []Kind{KindAction}, Limit: 1000}},
		{"gaps", Filter{Kinds: []Kind{KindStarted, KindLost, KindClock}}},
		{"two common, none both", Filter{Actions: []string{Unload}, Outcomes: []string{"failed"}, Limit: 100}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				for _, err := range r.Query(b.Context(), c.f) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n), "records")
		})
	}
	ask := func(name string, fn func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := fn(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	ask("first seen", func() error {
		for _, err := range r.FirstSeen(b.Context(), Modules, time.Time{}, time.Time{}) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	ask("get by id", func() error { _, err := r.Get(b.Context(), last.ID); return err })
	ask("get by prefix", func() error { _, err := r.Get(b.Context(), last.ID[:len(last.ID)-1]); return err })
	ask("loaded at", func() error { _, err := r.LoadedAt(b.Context(), middle); return err })
	ask("loaded now", func() error { _, err := r.LoadedAt(b.Context(), last.Time); return err })
	ask("open", func() error {
		r, err := OpenReadOnly(path)
		if err != nil {
			return err
		}
		return r.Close()
	})
}

func BenchmarkVerify(b *testing.B) {
	path, err := generated()
	if err != nil {
		b.Fatal(err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		if report, err := r.Verify(b.Context()); err != nil || !report.OK() {
			b.Fatal(report, err)
		}
	}
}

// BenchmarkAppend appends as the service does: each action durable before the next, and
// a storm's in batches.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			j := make1(b)
			g := &generator{random: rand.New(rand.NewPCG(1, 1)), body: bytes.Repeat([]byte("x"), 2000)}
			for b.Loop() {
				var batch []Record
				for range n {
					batch = append(batch, g.action())
				}
				add(b, j, batch...)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
