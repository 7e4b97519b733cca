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

// User names who logged in; where nobody did, whose rights the process has. It is a name
// where this machine knows one, and a number otherwise.
func User(p *tracer.Process) string {
	switch {
	case p.LoginUser != "":
		return p.LoginUser
	case p.LoginUID != nil:
		return strconv.FormatUint(uint64(*p.LoginUID), 10)
	case p.User != "":
		return p.User
	}
	return strconv.FormatUint(uint64(p.UID), 10)
}
