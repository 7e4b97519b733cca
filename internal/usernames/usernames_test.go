package usernames

import "testing"

// TestRoot: root is there on every machine, and nobody has the last number.
func TestRoot(t *testing.T) {
	const nobody = 1<<32 - 2
	if user, group := User(0), Group(0); user != "root" || group == "" {
		t.Errorf("0 is user %q and group %q", user, group)
	}
	if user, group := User(nobody), Group(nobody); user != "" || group != "" {
		t.Errorf("%d is user %q and group %q", uint32(nobody), user, group)
	}
	for _, text := range []string{"root", "0"} {
		if u, err := Find(text); err != nil || u.Username != "root" {
			t.Errorf("%s is %+v, %v", text, u, err)
		}
	}
	for text, want := range map[string]int64{"root": 0, "0": 0, "4294967294": nobody, "no such user": -1, "4294967296": -1, "": -1} {
		if uid, ok := ID(text); ok != (want >= 0) || ok && int64(uid) != want {
			t.Errorf("%q is %d, %v", text, uid, ok)
		}
	}
}
