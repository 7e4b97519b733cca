package record

import (
	"strconv"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Responsible gives whose need an action was: of a load that the kernel had made for a
// request, the original requester; else who made the call. Behind a kernel thread is the process
// that had it made, where that is known. The actor is nil where the events
// that tell of it were lost. The thread is nil too where it is not known who asked: the helper,
// which is always root's, never stands in for its requester.
func Responsible(a *tracer.Action) (*tracer.Actor, *tracer.Thread) {
	if a.ForRequest != 0 && a.Requester == nil {
		return nil, nil
	}
	who, thread := a.Actor, &a.Thread
	for r := a.Requester; r != nil; r = r.Requester {
		who, thread = r.Actor, &r.Thread
	}
	if by := who.Behind(); by != who {
		made := by.Thread()
		return by, &made
	}
	return who, thread
}

// Responsible is the actor of [Responsible]; nil where that is not known.
func (a *Record) Responsible() *tracer.Actor {
	who, _ := Responsible(&a.Action)
	return who
}

// Login gives who logged in, with the name that the record has for the number, which may be
// none; where nobody did, or the login uid is doubtful, whose process it is.
func Login(p *tracer.Process) (uid uint32, name string) {
	if p.LoginUID == nil || p.LoginDoubtful {
		return p.UID, p.User
	}
	return *p.LoginUID, p.LoginUser
}

// User names the user of [Login]: by the name that was known when it was recorded, and by
// number where there was none. Nobody looks for a name later: the number may be somebody
// else's by then, or on another machine.
func User(p *tracer.Process) string {
	uid, name := Login(p)
	return named(name, uid)
}

// Person is [User] for people to read: where the login uid is doubtful it names both,
// "www-data (login uid alice is doubtful)".
func Person(p *tracer.Process) string {
	if p.LoginUID == nil || !p.LoginDoubtful {
		return User(p)
	}
	return User(p) + " (login uid " + named(p.LoginUser, *p.LoginUID) + " is doubtful)"
}

func named(name string, uid uint32) string {
	if name != "" {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}
