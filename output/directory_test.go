package output

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestWorkingDirectory: where the caller was is in the standards' fields, and why a path does not lead there beside it.
func TestWorkingDirectory(t *testing.T) {
	paths := map[string]string{"ecs": "process.working_directory", "ocsf": "actor.process.working_directory"}
	rest := map[string]string{"ecs": "kmodtrace.", "ocsf": "unmapped."}
	for _, d := range []tracer.Directory{
		{Path: "/home/alice/src"},
		{Path: "/home/alice/x (deleted)"},
		{Path: "/home/alice/x", Deleted: true},
		{Path: "…/x", PathCut: true},
		{Path: "…/x", Unreachable: true},
	} {
		r := *samples(t)["signed, of a package, in a container"]
		actor := *r.Actor
		actor.WorkingDirectory, r.Actor = &d, &actor
		e := testEntry(t, 7, &r, "load of hello: live")
		for format, path := range paths {
			doc, err := parse(oneLine(t, format, e))
			if err != nil {
				t.Fatal(err)
			}
			if got := look(doc, path); got != d.Path {
				t.Errorf("%s, %+v: %v", format, d, got)
			}
			for what, is := range map[string]bool{"cut": d.PathCut, "deleted": d.Deleted, "unreachable": d.Unreachable} {
				if got := look(doc, rest[format]+"working_directory_"+what); (got == "true") != is {
					t.Errorf("%s, %+v: %s is %q", format, d, what, got)
				}
			}
		}
	}
}
