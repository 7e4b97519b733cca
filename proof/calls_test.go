package proof

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/cause"
	"golang.org/x/sys/unix"
)

// TestNameCall: the cause names the call that failed first, and nothing that is not certain.
func TestNameCall(t *testing.T) {
	init := calls.Step{Call: calls.Call{Function: "x_init", Own: true, Returned: true, Errno: unix.ENODEV, ErrnoName: "ENODEV"}}
	reset := calls.Step{Call: calls.Call{Function: "reset", Own: true, Returned: true, Errno: unix.ETIMEDOUT, ErrnoName: "ETIMEDOUT", Defined: "x.c:7", CalledAt: "x.c:9"}}
	alloc := calls.Step{Call: calls.Call{Function: "kmalloc", Returned: true, Null: true, Caller: "x_init+0x7"}}
	dark := calls.Step{Call: calls.Call{Function: "dark", Own: true, Returned: true, PossibleErrno: unix.EIO, PossibleErrnoName: "EIO"}}
	const plain = "its own init returned ENODEV"
	for name, c := range map[string]struct {
		code cause.Code
		path []calls.Step
		want string
	}{
		"an error":     {cause.InitRefused, []calls.Step{init, reset}, plain + "; inside it, reset returned -110 ETIMEDOUT, x.c:7, called at x.c:9"},
		"null":         {cause.InitRefused, []calls.Step{init, alloc}, plain + "; inside it, kmalloc returned NULL, called at x_init+0x7"},
		"not certain":  {cause.InitRefused, []calls.Step{init, dark}, plain},
		"itself":       {cause.InitRefused, []calls.Step{init}, plain},
		"not seen":     {cause.InitRefused, nil, plain},
		"another code": {cause.SymbolMissing, []calls.Step{init, reset}, plain},
	} {
		got := &cause.Cause{Code: c.code, Text: plain}
		NameCall(got, &calls.Report{Path: c.path})
		if got.Text != c.want || (len(got.Evidence) > 0) != (c.want != plain) {
			t.Errorf("%s: %q with %q, want %q", name, got.Text, got.Evidence, c.want)
		}
	}
	NameCall(nil, &calls.Report{})
	NameCall(&cause.Cause{Code: cause.InitRefused}, nil)
}
