package main

import (
	"slices"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
)

// reportCases have the kernel report something that the load or unload survives. What it dies of is
// among the crashCases.
func reportCases() []causeCase {
	reported := func(name, how, says string) causeCase {
		return causeCase{
			code: cause.KernelReported, name: name, boot: plainBoot, file: "complain.ko", check: unknowable, says: []string{says, "complain"},
			do: func(w *world, t *testing.T, way string) seen {
				s := w.load(way, "complain.ko", []string{"init=" + how})
				if s.cause != nil {
					s.problem = "it has a cause: " + s.cause.String()
				}
				w.remove(t, "complain")
				return s
			},
		}
	}
	return []causeCase{
		reported("WARN", "warn", "a warning in complain_now [complain] (complain.c:"),
		reported("WARN with a text", "warn-text", `(complain.c:83): "complain: the device says 42, and that is wrong"`),
		reported("a name that is taken", "duplicate", "sysfs: cannot create duplicate filename '/kernel/complain'"),
		{
			code: cause.InitRefused, name: "after a WARN", boot: plainBoot, file: "complain.ko", check: unknowable, says: []string{"returned EINVAL", "cannot go on"},
			do: func(w *world, _ *testing.T, way string) seen {
				s := w.load(way, "complain.ko", []string{"init=warn", "result=-22"})
				if !slices.ContainsFunc(s.warnings, func(c cause.Cause) bool { return c.Code == cause.KernelReported }) {
					s.problem = "no warning about the WARN"
				}
				return s
			},
		},
		{
			code: cause.KernelReported, name: "unload", boot: plainBoot, ways: []string{"rmmod", "unload"}, check: unasked, says: []string{"complain_now [complain]", "complain.c:"},
			setup: func(w *world, t *testing.T) func() {
				quiet(t, "/sbin/insmod", w.specimen("complain.ko"), "exit=warn")
				return func() {}
			},
			do: func(w *world, _ *testing.T, way string) seen { return w.unload(way, "complain") },
		},
	}
}
