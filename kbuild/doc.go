// Package kbuild builds modules outside the kernel's tree by the kernel's own build
// system, kbuild, with the headers of the running kernel or of another one.
//
//	result, err := kbuild.Build(ctx, []string{"./hello"}, nil)
//
// # Where it builds
//
// Kbuild writes a dozen files beside each source, and stands no blanks, colons or
// dollars in the path of the directory. So it never works in the user's directory, but in a
// mirror of it: directories of its own, with links to the user's files. The mirror is kept in
// the user's cache, and so the next build compiles only what changed. The modules, and
// Module.symvers when they export something, are put where they belong when all are
// there, each in one step. A directory without rules, and single C files, have theirs written
// into the mirror.
//
// Above the mirrored directory stand mirrors of its parents, so that what a source takes
// from "../include" is found. What is compiled by a path that leaves the directory
// (obj-m := ../other/x.o) is written where that path leads, as by make itself.
//
// # What it costs
//
// A build without changes takes some milliseconds, for make is not asked at all: what the
// build before read is as it was. One changed file takes about a second, most of which kbuild spends
// on asking the compiler what it can do.
//
// # What the compiler says
//
// goes to Options.Output as it comes, with the names of files as the user wrote them. Where
// that is a terminal, the compiler is given one too, for colours.
//
// # Errors
//
// What the machine lacks is a *MissingError, which names the packages that have it here; what
// the compiler or kbuild refused is a *FailedError with its first complaint.
package kbuild
