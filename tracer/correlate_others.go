package tracer

import (
	"slices"

	"golang.org/x/sys/unix"
)

// What one load has to do with another.

// outline replaces a load that has ended, among those that are kept, by what share and
// rival ask of it: whole actions would be most of what a Correlator holds.
func (c *Correlator) outline(a *Action) {
	for i, l := range slices.Backward(c.loads) {
		if l == a {
			c.loads[i] = &Action{
				ID: a.ID, Start: a.Start, End: a.End, Module: a.Module, NameFrom: a.NameFrom, Details: a.Details,
				File: a.File,
			}
			return
		}
	}
}

// share finds the load that gave a its result: a read no file itself, and
// another attempt that did was under way with the same file. Where only the
// caller says which file it was, a refusal may have come before any sharing.
func (c *Correlator) share(a *Action) {
	if a.File == nil || a.Saw(KindStage) || a.File.Claimed && a.Outcome != Live {
		return
	}
	for _, l := range slices.Backward(c.loads) {
		if sameFile(l.File, a.File) && l.Start <= a.End && (l.End == 0 || l.End >= a.Start) {
			a.SharedWith = l.ID
			a.Details = l.Details
			if l.NameFrom == NameKernel {
				name(a, l.Module, NameKernel)
			}
			return
		}
	}
}

// rival finds the other load of that name which was in the way of a. The kernel
// says EEXIST or EBUSY then, by its version and by what became of the other.
func (c *Correlator) rival(a *Action) {
	if a.Errno != unix.EEXIST && a.Errno != unix.EBUSY && a.Errno != unix.EINTR && a.Errno != ERESTARTSYS {
		return
	}
	for _, l := range slices.Backward(c.loads) {
		if l != a && l.Module == a.Module && l.Start <= a.Start && (l.End == 0 || l.End > a.Start) {
			a.Rival = l.ID
			return
		}
	}
}
