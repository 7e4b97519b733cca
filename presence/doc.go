// Package presence asks the kernel in several ways which modules it has, and finds those that some of them show and
// others do not.
//
// A module that hides takes itself off the kernel's list of modules, out of sysfs, or both. It stays in what the
// kernel keeps for other reasons: the functions that can be traced, the types, the memory. What is there was measured
// with a module that hides (docs/kernel-facts.md, "Hidden modules").
//
// No answer here says that a machine is clean: a module that knows all of these can hide from all of them. What is said
// is which were asked, and what they show.
package presence
