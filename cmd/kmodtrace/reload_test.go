package main

import (
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestReloadText(t *testing.T) {
	done := proof.NewResult(tracer.Load, "x", proof.Confirmed, nil)
	for name, test := range map[string]struct {
		result reload.Result
		after  reload.Copy
		status int
		line   string
	}{
		"done":              {reload.Result{Verdict: proof.Confirmed, Load: done}, reload.CopyNew, exitOK, "  now        the new copy is in the kernel (build 0123456789ab)\nreload x: confirmed by the kernel's own events\n"},
		"back":              {reload.Result{Verdict: proof.Refused, ErrnoName: "EIO"}, reload.CopyBack, exitRefused, "  now        the old copy is back (build 0123456789ab)\nreload x: refused EIO\n"},
		"nothing was there": {reload.Result{Verdict: proof.Refused}, reload.CopyNone, exitRefused, "nothing is loaded (build 0123456789ab)\nreload x: refused\n"},
		"down":              {reload.Result{Verdict: reload.Down}, reload.CopyNone, exitUnconfirmed, "nothing is loaded (build 0123456789ab)\nreload x: down\n"},
		"crashed":           {reload.Result{Verdict: reload.Down}, reload.CopyUnfinished, exitUnconfirmed, "the kernel is not done with it (build 0123456789ab)\nreload x: down\n"},
		"interrupted":       {reload.Result{Verdict: proof.Unconfirmed}, reload.CopyBack, exitUnconfirmed, "the old copy is back (build 0123456789ab)\nreload x: unconfirmed\n"},
		"hangs":             {reload.Result{Verdict: proof.Unconfirmed}, reload.CopyUnfinished, exitUnconfirmed, "reload x: unconfirmed\n"},
		"contradicted":      {reload.Result{Verdict: proof.Contradicted}, reload.CopyNew, exitUnconfirmed, "reload x: contradicted\n"},
		"steers":            {reload.Result{Verdict: proof.Confirmed, Target: "\x1b[2J", Load: done}, reload.CopyOther, exitOK, "a copy is in the kernel that somebody else loaded"},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.result
			r.Command, r.Params, r.Reason = "reload", &reload.Params{}, "why"
			if r.Target == "" {
				r.Target = "x"
			}
			r.After = reload.After{Copy: test.after, BuildID: "0123456789abcdef"}
			err := act.ReloadError(&r)
			if statusOf(err) != test.status || (err == nil) != (test.status == exitOK) || err != nil && err.Error() != "why" {
				t.Errorf("status %d: %v", statusOf(err), err)
			}
			if text := render.NewResultText(term.Theme{}, 100).Reload(&r); !strings.Contains(text, test.line) || strings.Contains(text, "\x1b") {
				t.Errorf("%q", text)
			}
		})
	}
}
