//go:build !race

package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// often says how often something is tried by chance: usual times, or $KMODTRACE_TIMES as many.
func often(t *testing.T, short, usual int) int {
	t.Helper()
	if testing.Short() {
		return short
	}
	text := os.Getenv("KMODTRACE_TIMES")
	if text == "" {
		return usual
	}
	times, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return usual * times
}

// Bytes that a disk has changed: the journal is refused, or Verify finds it, or all
// records are what they were. It never panics.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	times := often(t, 63, 150)
	for _, seed := range []uint64{1, rand.Uint64()} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			randomDamage(t, rand.New(rand.NewPCG(seed, 0)), times)
		})
	}
}

// Whatever happens in whatever order: what was loaded is told rightly, or doubted; also
// when retention has removed the beginning.
func TestLoadedAtByChance(t *testing.T) {
	t.Parallel()
	seeds := uint64(15)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			w := newWorld(t)
			w.start()
			for range 100 {
				w.happen(random)
				w.look()
			}
			w.check(begin)
			cut := begin
			for range 3 {
				if at := w.times[random.IntN(len(w.times)-1)]; at.After(cut) {
					cut = at
				}
				if _, err := w.j.Retain(t.Context(), Limits{Age: w.now.Sub(cut)}, w.now, fmt.Sprint("boot-", w.boot)); err != nil {
					t.Fatal(err)
				}
				verify(t, w.j.Reader)
				w.check(cut.Add(time.Second))
			}
		})
	}
}

// Every one of hundreds of tamperings is found, and the records that it was done to are
// named; a journal that nobody touched is accepted each time.
func TestTamperings(t *testing.T) {
	t.Parallel()
	times := often(t, 100, 400)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ways := tamperings()
	for _, kind := range sampleKinds() {
		path, anchor := sample(t, random, kind)
		records := sampled(t, path)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range times / len(sampleKinds()) {
			way := ways[i%len(ways)]
			copied := filepath.Join(t.TempDir(), "journal.db")
			if err := os.WriteFile(copied, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if i%len(ways) == 0 {
				untouched(t, copied, anchor)
			}
			named := tamper(t, random, way, copied, anchor.Journal, records)
			if !found(t, copied, anchor, named, way.name) {
				t.Fatalf("not found: %s, round %d, %s", way.name, i, kind)
			}
			if t.Failed() {
				t.Fatalf("round %d, %s", i, kind)
			}
		}
	}
}

// Whatever is appended, removed and reopened in whatever order: what is there is what was
// appended, what matters least went first, and the chain holds.
func TestThinningByChance(t *testing.T) {
	t.Parallel()
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for i := range seeds {
		seed := rand.Uint64()
		if i == 0 {
			seed = 4 // with it, retention is asked of an empty journal
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			byChance(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

// A flood of what failed, with bodies of 300 KB at full speed: the file stays as large as
// it may be, and every load is there.
func TestFlood(t *testing.T) {
	t.Parallel()
	floods := often(t, 400, 600)
	const limit = 16 << 20
	j := make1(t)
	j.SetRoom(Room{Bytes: limit})
	var loads []string
	real := func(n int) {
		r := load(1_000_000+n, fmt.Sprint("real-", n))
		r.Body = deep(n, n, 100).Body
		loads = append(loads, r.ID)
		add(t, j, r)
	}
	for i := range 20 {
		real(i)
	}
	most := int64(0)
	for i := range floods {
		r := deep(i, 100_000+i, 4000) // a process of its own each
		r.Class = ClassMinor
		r.Body = noise(r.Body, i)
		add(t, j, r)
		if i%50 == 0 {
			real(100 + i)
		}
		if j.Due() {
			retain(t, j, Limits{Bytes: limit}, begin)
		}
		most = max(most, onDisk(t, j.Path()))
	}
	t.Logf("%d records of %d KB: at most %d KB on the disk, of %d", floods, len(deep(1, 1, 4000).Body)>>10, most>>10, limit>>10)
	if most > limit+12<<20 {
		t.Errorf("%d MiB on the disk", most>>20)
	}
	for _, id := range loads {
		if _, err := j.Get(t.Context(), id); err != nil {
			t.Errorf("load %s: %v", id, err)
		}
	}
	verify(t, j.Reader)
	if len(collect(t, j.Reader, Filter{Kinds: []Kind{KindRetention}})) > 0 {
		t.Error("the oldest were removed, though there was enough of what matters less")
	}
}

// What is doubted or told of loaded modules does not depend on records of what failed.
func TestLoadedAtAfterThinning(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.start()
		for range 60 {
			w.happen(random)
			for range random.IntN(4) {
				if !w.watching {
					break
				}
				r := w.record(KindAction)
				r.Module, r.Action, r.Outcome, r.Class = fmt.Sprint("m", random.IntN(6)), Load, "failed", Class(1+random.IntN(2))
				w.add(r)
			}
			w.look()
		}
		type answer struct {
			names  []string
			doubts []Doubt
		}
		ask := func(at time.Time) answer {
			got, err := w.j.LoadedAt(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			return answer{namesOf(got), got.Doubts}
		}
		var before []answer
		for _, at := range w.times {
			before = append(before, ask(at))
		}
		firsts := firstSeqs(t, w.j)
		thinAll(t, w.j)
		verify(t, w.j.Reader)
		for i, at := range w.times {
			after := ask(at)
			// How long a watching that was killed went on, less records tell less exactly.
			less := len(after.doubts) > 0 && after.doubts[0].Reason == NotWatched
			if !less && (!slices.Equal(before[i].names, after.names) || len(before[i].doubts) != len(after.doubts)) {
				t.Errorf("seed %d, at %v: %v before, %v after", seed, at, before[i], after)
			}
		}
		if after := firstSeqs(t, w.j); !maps.Equal(firsts, after) {
			t.Errorf("seen first: %v before, %v after", firsts, after)
		}
	}
}
