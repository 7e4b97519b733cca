package output

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// host is this machine, and the program on it.
type host struct {
	name    string
	release string // of the kernel
	machine string // as uname -m
	version string // the program's
}

func thisHost() host {
	var h host
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.name = unix.ByteSliceToString(u.Nodename[:])
		h.release = unix.ByteSliceToString(u.Release[:])
		h.machine = unix.ByteSliceToString(u.Machine[:])
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		h.version = info.Main.Version
	}
	return h
}
