package account

import (
	"strconv"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Responsible is whose need it was: of a load that the kernel had made for a request, the
// first who asked; else who did it. It is nil where that is not known.
func (a *Account) Responsible() *tracer.Actor {
	who := a.Actor
	for r := a.Requester; r != nil; r = r.Requester {
		who = r.Actor
	}
	return who
}

// User names who logged in; where nobody did, or the login uid is doubtful, whose process
// it is. It is a name where this machine knows one, and a number otherwise.
func User(p *tracer.Process) string {
	if p.LoginUID == nil || p.LoginDoubtful {
		return named(p.User, p.UID)
	}
	return named(p.LoginUser, *p.LoginUID)
}

// Person is [User] for people to read: where the login uid is doubtful it names both,
// "www-data (login uid alice is doubtful)".
func Person(p *tracer.Process) string {
	return User(p) + LoginDoubt(p, "")
}

// LoginDoubt says that a login uid is doubtful; empty where it is not. The record's own
// name of that user comes before the one given.
func LoginDoubt(p *tracer.Process, name string) string {
	if p.LoginUID == nil || !p.LoginDoubtful {
		return ""
	}
	if p.LoginUser != "" {
		name = p.LoginUser
	}
	return " (login uid " + named(name, *p.LoginUID) + " is doubtful)"
}

func named(name string, uid uint32) string {
	if name != "" {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}
