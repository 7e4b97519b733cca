// Package usernames finds the users and groups of this machine, by number and by name.
package usernames

import (
	"os/user"
	"strconv"
)

// User gives the name of a user; empty where nobody has that number here.
func User(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}

// Group gives the name of a group; empty where none has that number here.
func Group(gid uint32) string {
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10))
	if err != nil {
		return ""
	}
	return g.Name
}

// Find gives the user that a text names: by name or, if nobody has that name, by number.
func Find(text string) (*user.User, error) {
	u, err := user.Lookup(text)
	if err != nil {
		return user.LookupId(text)
	}
	return u, nil
}

// ID gives the number that a text means: it is one, used here or not, or somebody's name.
func ID(text string) (uid uint32, ok bool) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return uint32(n), true
	}
	u, err := user.Lookup(text)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(n), err == nil
}
