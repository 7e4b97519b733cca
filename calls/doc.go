// Package calls finds which call inside a module's init or exit failed first, and which took long.
//
// A [Plan] is made from the module's file: which of its own functions, and which of its calls of the kernel's
// functions, can be probed. [Arm] defines the probes in a tracefs instance of their own, before the module
// is loaded: the kernel sets them when the module is there, and before its init runs. [Armed.Stop] takes
// them away and gives the [Report]: the calls as they were nested, with times and judged results, and the path to the first
// error.
//
// All probes are in the module's own code. A call of the kernel's kmalloc is probed where the module calls it:
// nobody else who calls kmalloc pays, and no filter is needed. Calls through pointers have no name in the file
// and are not seen, except those that come back into the module.
package calls
