package output

import (
	"runtime/debug"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// host is this machine, and the program on it.
type host struct {
	name    string
	release string // of the kernel
	machine string // as uname -m
	version string // the program's
}

func thisHost() host {
	u := procfs.Uname()
	h := host{name: u.Node, release: u.Release, machine: u.Machine}
	if info, ok := debug.ReadBuildInfo(); ok {
		h.version = info.Main.Version
	}
	return h
}
