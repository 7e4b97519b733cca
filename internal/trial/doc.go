// Package trial tries modules in a disposable virtual machine and says what came of it.
//
// In the guest, a [Watch] notes what the kernel exposes before the first round and what
// is left after each; the program there tells each step as an [Event], a line of JSON,
// before it takes it. So what a guest was doing when it died is known. On the host,
// [Judge] makes a [Report] of the events, of the guest's console and of how the machine
// ended. A crash of the guest is a result, not an error.
//
// # What is believed
//
// The machine belongs to the module that is tried: what the guest tells and prints may be
// false, out of order or without end. All of it is read within bounds and against the plan;
// of the events, the console and the machine's end the worst counts; and a trial passes only
// with a report of each step. A module that means harm can still imitate all of that: a
// trial finds faults, not malice.
//
// # What is seen of memory
//
// The guest boots with slub_debug=U, by which the kernel keeps the place of each
// allocation from its slabs, and /proc/vmallocinfo has that of vmalloc's. What was
// allocated by code of the module, directly or further up in the stack, and is still
// there after the unload, was not given back. Pages and per-CPU memory that a module takes
// by itself are not seen: the kernel exposes no place for those.
package trial
