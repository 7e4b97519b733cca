package tracer

// Any process that has no login uid can set it, once, to whatever it likes: the kernel asks
// for no right to do so. Those that a login begins have one already. So a login uid is as
// good as the process that set it.

// doubtLogin marks the processes of a line (an actor, its parent, and so on) whose login
// uid does not fit the line.
func doubtLogin(line []*Process) {
	for i, p := range line {
		if p.LoginUID == nil {
			continue
		}
		top := i
		for j := i + 1; j < len(line); j++ {
			if above := line[j].LoginUID; above != nil && *above == *p.LoginUID {
				top = j
			}
		}
		var parent *Process
		if top+1 < len(line) {
			parent = line[top+1]
		}
		p.LoginDoubtful = !line[top].mayHaveSet(*p.LoginUID, parent)
	}
}

// mayHaveSet tells whether the topmost process with a login uid is one that a login begins:
// a program that logs people in, or what is left of a login whose program has gone. One
// whose parent is a user without a login has set it itself.
func (p *Process) mayHaveSet(login uint32, parent *Process) bool {
	switch {
	case p.contained():
		return false
	case parent != nil && parent.LoginUID == nil && parent.UID != 0:
		return false
	}
	return p.UID == 0 || p.UID == login
}

// contained tells a process in a container. A mount namespace alone makes none: services
// have them, and logins too (pam_namespace).
func (p *Process) contained() bool {
	n := p.Namespaces
	return n.PID.ID != 0 && !n.PID.Initial || !n.User.Initial || p.Cgroup.Container != nil
}
