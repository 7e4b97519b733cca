package account

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestUser: a login uid that does not fit names nobody for the record, and both for people.
func TestUser(t *testing.T) {
	login := uint32(1000)
	for _, test := range []struct {
		p            tracer.Process
		user, person string
	}{
		{tracer.Process{UID: 33, User: "www-data"}, "www-data", "www-data"},
		{tracer.Process{UID: 33}, "33", "33"},
		{tracer.Process{UID: 0, User: "root", LoginUID: &login, LoginUser: "alice"}, "alice", "alice"},
		{tracer.Process{UID: 0, User: "root", LoginUID: &login}, "1000", "1000"},
		{tracer.Process{UID: 33, User: "www-data", LoginUID: &login, LoginUser: "alice", LoginDoubtful: true}, "www-data", "www-data (login uid alice is doubtful)"},
		{tracer.Process{UID: 33, LoginUID: &login, LoginDoubtful: true}, "33", "33 (login uid 1000 is doubtful)"},
	} {
		if user, person := User(&test.p), Person(&test.p); user != test.user || person != test.person {
			t.Errorf("%+v: %q and %q, want %q and %q", test.p, user, person, test.user, test.person)
		}
	}
}
