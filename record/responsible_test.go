package record

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

// TestResponsible: the helper, which is always root's, never stands in for who asked.
func TestResponsible(t *testing.T) {
	actor := func(comm string) *tracer.Actor { return &tracer.Actor{Process: tracer.Process{Comm: comm}} }
	thread := func(comm string) tracer.Thread { return tracer.Thread{Comm: comm} }
	helper := tracer.Action{Thread: thread("modprobe"), Actor: actor("modprobe"), ForRequest: 7}
	asked := func(r *tracer.Requester) tracer.Action {
		a := helper
		a.Requester = r
		return a
	}
	inner := tracer.Requester{Thread: thread("mount"), Actor: actor("mount")}
	lost := tracer.Requester{Thread: thread("mount")}
	made := func(comm string, by *tracer.Actor) *tracer.Actor {
		a := actor(comm)
		a.KernelThread, a.StartedBy = true, by
		return a
	}
	for name, test := range map[string]struct {
		a           tracer.Action
		who, thread string // empty for nil
	}{
		"its own":                 {tracer.Action{Thread: thread("insmod"), Actor: actor("insmod")}, "insmod", "insmod"},
		"its own, actor lost":     {tracer.Action{Thread: thread("insmod")}, "", "insmod"},
		"requested":               {asked(&inner), "mount", "mount"},
		"requested in a chain":    {asked(&tracer.Requester{Thread: thread("modprobe"), Actor: actor("modprobe"), Requester: &inner}), "mount", "mount"},
		"requested, actor lost":   {asked(&lost), "", "mount"},
		"chain, first actor lost": {asked(&tracer.Requester{Thread: thread("modprobe"), Actor: actor("modprobe"), Requester: &lost}), "", "mount"},
		"a kernel thread":         {tracer.Action{Thread: thread("crypto"), Actor: made("crypto", actor("trig"))}, "trig", "trig"},
		"a thread of a thread":    {tracer.Action{Thread: thread("inner"), Actor: made("inner", made("outer", actor("trig")))}, "trig", "trig"},
		"a thread, maker unknown": {tracer.Action{Thread: thread("inner"), Actor: made("inner", made("outer", nil))}, "inner", "inner"},
		"requested by a thread":   {asked(&tracer.Requester{Thread: thread("crypto"), Actor: made("crypto", actor("trig"))}), "trig", "trig"},
		"a thread of a helper":    {tracer.Action{Thread: thread("crypto"), Actor: made("crypto", actor("modprobe")), ForRequest: 7, Requester: &inner}, "mount", "mount"},
		"a helper's, not seen":    {tracer.Action{Thread: thread("crypto"), Actor: made("crypto", actor("modprobe")), ForRequest: 7}, "", ""},
		"request not seen":        {helper, "", ""},
	} {
		who, by := Responsible(&test.a)
		var gotWho, gotThread string
		if who != nil {
			gotWho = who.Comm
		}
		if by != nil {
			gotThread = by.Comm
		}
		whole := Record{}
		whole.Action = test.a
		if gotWho != test.who || gotThread != test.thread || whole.Responsible() != who {
			t.Errorf("%s: %q and %q, want %q and %q", name, gotWho, gotThread, test.who, test.thread)
		}
	}
}
