package tracer

import "testing"

// TestDoubtLogin: whoever a login uid is shown as, some login must have set it, as far as
// the line of processes tells.
func TestDoubtLogin(t *testing.T) {
	process := func(uid uint32, login int) Process {
		p := Process{UID: uid}
		p.Namespaces = Namespaces{PID: Namespace{ID: 1, Initial: true}, Mount: Namespace{ID: 2, Initial: true}, User: Namespace{ID: 3, Initial: true}}
		if login >= 0 {
			id := uint32(login)
			p.LoginUID = &id
		}
		return p
	}
	inPIDNamespace := func(p Process) Process { p.Namespaces.PID.Initial = false; return p }
	inUserNamespace := func(p Process) Process { p.Namespaces.User.Initial = false; return p }
	inCgroup := func(p Process) Process { p.Cgroup.Container = &Container{ID: "x"}; return p }
	privateMounts := func(p Process) Process { p.Namespaces.Mount.Initial = false; return p }
	init := process(0, -1)
	for _, test := range []struct {
		name string
		line []Process
		want bool // of the first
	}{
		{"nobody logged in", []Process{process(0, -1), init}, false},
		{"ssh", []Process{process(0, 1000), process(1000, 1000), process(1000, 1000), process(0, 1000), process(0, -1), init}, false},
		{"what is left of a login", []Process{process(0, 1000), process(1000, 1000), init}, false},
		{"the user's manager", []Process{process(1000, 1000), process(1000, 1000), init}, false},
		{"the daemon that logs in has mounts of its own", []Process{process(1000, 1000), privateMounts(process(0, 1000)), init}, false},
		{"su from one login to another user", []Process{process(1001, 1000), process(0, 1000), process(1000, 1000), process(0, 1000), init}, false},
		{"a service sets it", []Process{process(33, 1000), process(33, -1), process(0, -1), init}, true},
		{"a service sets it in its main process", []Process{process(33, 1000), process(0, -1), init}, true},
		{"a service sets it, then gets root", []Process{process(0, 1000), process(33, 1000), process(0, -1), init}, true},
		{"a service sets it by way of a set-user-id program", []Process{process(0, 1000), process(33, -1), process(0, -1), init}, true},
		{"a service sets its own user", []Process{process(33, 33), process(33, -1), init}, true},
		{"root of a container sets it", []Process{inPIDNamespace(process(0, 1000)), inPIDNamespace(process(0, -1)), init}, true},
		{"root of a user namespace sets it", []Process{inUserNamespace(process(1000, 1000)), init}, true},
		{"a container by its control group", []Process{inCgroup(process(0, 1000)), init}, true},
		{"a container that somebody runs who logged in", []Process{inPIDNamespace(process(0, 1000)), process(1000, 1000), process(0, 1000), init}, false},
		{"only the process is known", []Process{process(1000, 1000)}, false},
		{"only the process is known, of another user", []Process{process(33, 1000)}, true},
	} {
		line := make([]*Process, len(test.line))
		for i := range line {
			line[i] = &test.line[i]
		}
		doubtLogin(line)
		if got := line[0].LoginDoubtful; got != test.want {
			t.Errorf("%s: doubtful %t", test.name, got)
		}
		if last := line[len(line)-1]; last.LoginUID == nil && last.LoginDoubtful {
			t.Errorf("%s: doubtful without a login", test.name)
		}
	}
}
