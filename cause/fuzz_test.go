package cause

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// FuzzCheck: no file and no parameter makes Check panic, hang or take memory beyond
// what its size allows; and what it says is whole.
func FuzzCheck(f *testing.F) {
	for _, data := range koimage.Real() {
		f.Add(data, "times=7")
	}
	for _, c := range checkedFiles() {
		if data := c.image(); len(data) < 64<<10 {
			f.Add(data, "whom=\"a b\"")
		}
	}
	k := ordinary().open(f)
	path := filepath.Join(f.TempDir(), "hello.ko")
	f.Fuzz(func(t *testing.T, data []byte, param string) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := Check(ctx, path, k, &CheckOptions{Params: kmod.Params{param}})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		const unpacked = 16 << 20 // and 16 times the size: see kmod
		if used, may := after.TotalAlloc-before.TotalAlloc, 16*uint64(unpacked+16*len(data))+1<<20; used > may {
			t.Errorf("allocated %d bytes for %d, of at most %d", used, len(data), may)
		}
		if (v.Judgement == Refused) != (v.Cause != nil) || (v.Judgement == Undecided) != (v.Cause == nil && len(v.Open) > 0) {
			t.Errorf("%+v", v)
		}
		if v.Cause != nil {
			if _, ok := MeaningOf(v.Cause.Code); !ok || v.Cause.Text == "" || len(v.Cause.Evidence) == 0 {
				t.Errorf("%+v", v.Cause)
			}
		}
	})
}
