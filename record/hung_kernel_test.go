package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/deadfuse"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestCoveredAfterLoad: a directory from which root loaded modules is covered by a mount that
// never answers. What was loaded there is recorded in its time, with what the kernel told,
// and the next load has its hash.
func TestCoveredAfterLoad(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules and mounts: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tracer.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	covered, open := t.TempDir(), t.TempDir()
	image, err := os.ReadFile(filepath.Join(os.Getenv("KMODTRACE_MODULES"), "hello.ko"))
	if err != nil {
		t.Fatal(err)
	}
	place := func(dir, name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(path string) tracer.Action {
		t.Helper()
		kmod.Load(t.Context(), path, nil) // the kernel refuses some
		for a, err := range tr.Actions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if a.Kind == tracer.Load && a.File != nil && a.File.Path == path {
				return a
			}
		}
		t.Fatalf("no load of %s was seen", path)
		return tracer.Action{}
	}
	loaded := load(place(covered, "hello.ko", image))
	damaged := load(place(covered, "damaged.ko", image[:len(image)/2]))
	if loaded.Outcome != tracer.Live || damaged.Outcome != tracer.Failed {
		t.Fatalf("outcomes %v and %v", loaded.Outcome, damaged.Outcome)
	}
	again := place(open, "again.ko", image)
	deadfuse.Mount(t, covered)

	check := func(q *Inquiry, why string) {
		t.Helper()
		for _, a := range []*tracer.Action{&loaded, &damaged} {
			began := time.Now()
			whole := q.All(t.Context(), a)
			took := time.Since(began)
			if o := whole.Origin; o == nil || o.State != provenance.Unchecked || o.Mode != "0600" || !strings.Contains(o.Why, why) {
				t.Errorf("%s: %+v", a.File.Path, o)
			}
			t.Logf("%s took %v: %s; %+v", a.File.Path, took, whole.Origin.Why, whole.Cause)
			if took > Within+time.Minute { // an emulated machine computes slowly
				t.Errorf("%s took %v", a.File.Path, took)
			}
		}
		if c := q.Cause(t.Context(), &damaged).Cause; c == nil || !strings.Contains(strings.Join(c.Evidence, "\n"), "not looked at") {
			t.Errorf("cause of the damaged one: %+v", c)
		}
	}
	q := NewInquiry(k, false)
	check(q, "of type fuse is mounted on its path now")
	if err := q.Health(); err != nil {
		t.Errorf("nothing was followed there, and: %v", err)
	}

	// As where the mount comes between the look at the mounts and that at the file.
	follows := NewInquiry(k, false)
	follows.origins = provenance.NewLookup(&provenance.Options{Remote: true})
	follows.causes = cause.NewExplainer(k, &cause.Options{Lookup: follows.origins})
	check(follows, "no answer within 3s")
	if err := follows.Health(); err == nil {
		t.Error("lookups hang, and all is well")
	} else {
		t.Log(err)
	}

	a := load(again)
	for _, q := range []*Inquiry{q, follows} {
		if whole := q.All(t.Context(), &a); whole.Origin.State != provenance.Same || whole.Origin.SHA256 == "" || whole.Cause == nil || whole.Cause.Code != cause.AlreadyLoaded {
			t.Errorf("the next: %+v, %+v", whole.Origin, whole.Cause)
		}
	}
}
