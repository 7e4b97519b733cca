//go:build !race

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The file does not grow over its limit, however much is appended, and a smaller limit
// makes it smaller.
func TestRetentionBySize(t *testing.T) {
	j := make1(t)
	const limit = 2 << 20
	n := 0
	fill := func() {
		var batch []Record
		for range 200 {
			n++
			r := load(n, fmt.Sprint("m", n%50))
			r.Body = bytes.Repeat([]byte("b"), 1500)
			batch = append(batch, r)
		}
		add(t, j, batch...)
	}
	for range 30 { // nine megabytes
		fill()
		retain(t, j, Limits{Bytes: limit}, begin)
		if size, err := j.Size(t.Context()); err != nil || size.Bytes > limit+limit/4 {
			t.Fatalf("%+v, %v", size, err)
		}
	}
	kept := verify(t, j.Reader).Records
	if kept < 600 {
		t.Errorf("only %d records are left in %d bytes", kept, limit)
	}
	if len(collect(t, j.Reader, Filter{Kinds: []Kind{KindRetention}})) > 30 {
		t.Error("more retention records than needed")
	}
	removal := retain(t, j, Limits{Bytes: limit / 4}, begin)
	info, err := os.Stat(j.Path())
	if err != nil || info.Size() > limit/4 || removal.Freed < limit/2 {
		t.Errorf("%v bytes, %+v, %v", info.Size(), removal, err)
	}
	fill()
	verify(t, j.Reader)
}

func TestRetentionByAge(t *testing.T) {
	j := make1(t)
	add(t, j, loads(5000)...)
	before, _ := j.Anchor(t.Context(), begin)
	firsts := firstSeqs(t, j)
	now := begin.Add(5000 * time.Second)

	if got := retain(t, j, Limits{}, now); got != (Removal{}) {
		t.Errorf("no limits remove %+v", got)
	}
	if got := retain(t, j, Limits{Age: 2 * time.Hour}, now); got != (Removal{}) {
		t.Errorf("a limit that nothing is over removes %+v", got)
	}
	if got := retain(t, j, Limits{Age: 1000 * time.Second}, now); got.Records != 3999 || got.Through != 3999 {
		t.Errorf("%+v", got)
	}
	report := verify(t, j.Reader, before)
	if report.First != 4000 || report.Removed != 3999 || report.Records != 1002 || report.Anchors != 1 {
		t.Errorf("%+v", report)
	}
	if _, err := j.Get(t.Context(), "a-3999"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was removed is there: %v", err)
	}
	if got, err := j.ReadFrom(t.Context(), 5, 1); err != nil || got[0].Seq != 4000 {
		t.Errorf("%v, %v", got, err)
	}
	if diff := cmp.Diff(firsts, firstSeqs(t, j)); diff != "" {
		t.Error("what was seen first is forgotten:", diff)
	}
	if got := collect(t, j.Reader, Filter{Kinds: []Kind{KindRetention}}); len(got) != 1 || got[0].Count != 3999 || !got[0].Time.Equal(now) {
		t.Errorf("%+v", got)
	}
	// And again, over its own records, as often as one likes.
	for i := range 5 {
		later := now.Add(time.Duration(i) * 200 * time.Second)
		retain(t, j, Limits{Age: 600 * time.Second}, later)
		verify(t, j.Reader, before)
	}
	j = reopenAfter(t, j)
	add(t, j, load(9000, "m"))
	verify(t, j.Reader)
}
