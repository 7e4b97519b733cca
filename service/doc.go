// Package service is what watches for as long as a machine runs: it attaches once, keeps
// each action and each gap in the journal, and lets outputs pass on what is there.
//
// What happens to an action is in that order: the kernel's events become an action, what
// can be found out about it is (package record), the journal has it on the disk, and
// only then is it anybody else's. An output reads the journal from where it was: one that
// is down delays nothing and loses nothing, and no memory holds what it has not taken.
package service
