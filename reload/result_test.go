package reload

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// TestFinish: what is in the kernel in the end decides with the step that did.
func TestFinish(t *testing.T) {
	eio := &kmod.Error{Op: "load", Module: "hello", Err: unix.EIO}
	old := &OldCopy{Content: ContentKept, loaded: &kmod.Loaded{}}
	lost := &OldCopy{Why: "nobody kept it", loaded: &kmod.Loaded{}}
	for name, test := range map[string]struct {
		before  *OldCopy
		verdict proof.Verdict
		err     error
		restore *proof.Result
		after   Copy
		want    proof.Verdict
		is      error
		says    string
	}{
		"done":              {old, proof.Confirmed, nil, nil, CopyNew, proof.Confirmed, nil, ""},
		"back":              {old, proof.Refused, eio, nil, CopyBack, proof.Refused, proof.ErrRefused, "load hello: input/output error; the old copy is back"},
		"nothing was there": {nil, proof.Refused, eio, nil, CopyNone, proof.Refused, proof.ErrRefused, "load hello: input/output error; nothing is loaded"},
		"no way back": {lost, proof.Refused, eio, nil, CopyNone, Down, ErrDown,
			"load hello: input/output error; nothing is loaded, for there was no way back: nobody kept it"},
		"not put back": {old, proof.Refused, eio, proof.NewResult(tracer.Load, "x", proof.Refused, errors.New("no memory")), CopyNone, Down, ErrDown,
			"load hello: input/output error; nothing is loaded, for the old copy could not be put back: no memory"},
		"crashed":     {old, proof.Refused, errors.New("its code crashed"), nil, CopyUnfinished, Down, ErrDown, "its code crashed; the kernel is not done with it, and it cannot be replaced until reboot"},
		"interrupted": {old, proof.Unconfirmed, proof.ErrInterrupted, nil, CopyBack, proof.Unconfirmed, proof.ErrUnconfirmed, "not begun: interrupted; the old copy is back"},
		"hangs":       {old, proof.Unconfirmed, errors.New("still at it"), nil, CopyUnfinished, proof.Unconfirmed, proof.ErrUnconfirmed, "still at it; the kernel is not done with it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResult("x")
			r.Before, r.Restore = test.before, test.restore
			r.set(test.verdict, test.err)
			r.finish(After{Copy: test.after})
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var decoded Result
			if err := json.Unmarshal(text, &decoded); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*Result{r, &decoded} {
				err := r.Err()
				if r.Verdict != test.want || (err == nil) != (test.is == nil) || !errors.Is(err, test.is) || r.Reason != test.says || err != nil && err.Error() != test.says {
					t.Errorf("%s: %v; want %s, %q", r.Verdict, err, test.want, test.says)
				}
				if errors.Is(err, ErrDown) != (test.want == Down) {
					t.Errorf("%v is down: %v", err, errors.Is(err, ErrDown))
				}
			}
			if test.err != nil && !errors.Is(r.Err(), test.err) {
				t.Errorf("%v lost %v", r.Err(), test.err)
			}
			if strings.Contains(r.Reason, "input/output") != (test.verdict == proof.Refused && r.Errno == unix.EIO) {
				t.Errorf("%s: errno %v", r.Reason, r.Errno)
			}
		})
	}
}

// TestPlanRefused: a file that is none is refused, whatever is in the kernel.
func TestPlanRefused(t *testing.T) {
	r, err := Open(&Options{Store: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/nosuch.ko", "/dev/null", "plan.go"} {
		plan, err := r.Plan(t.Context(), file, nil)
		if !errors.Is(err, proof.ErrRefused) || plan.Result.After.Copy != CopyUntouched || plan.NoWayBack() != "" {
			t.Errorf("%s: %v: %+v", file, err, plan.Result)
		}
		if res, err := r.Do(t.Context(), nil, plan); res != plan.Result || err != plan.Result.Err() {
			t.Errorf("%s: a refused plan is carried out: %v", file, err)
		}
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
