// Package oops reads what a kernel prints when something is wrong: warnings, oopses, BUGs, the
// reports of its checkers (KASAN, UBSAN, lockdep, …) and plain backtraces. Of some forty lines
// of registers and frames it makes one [Report]: the kind, the place, the task, and who called.
//
//	parts := oops.Split(messages)
//	for _, r := range parts.Reports {
//		fmt.Println(r.Kind, r.Text, r.Place())
//	}
//
// It reads text and nothing else. The forms are those of kernels from 5.10 on, for x86-64 and
// for arm64. What a message of a report is not, stays a message: where lines are missing, or
// those of others are in between, a report has fewer facts, and never those of another one.
package oops
