// Package kernel tells what is known about a kernel that a module is to go into: the
// running one, or an installed one by its release.
//
//	k, err := kernel.Open(nil)
//	symbol, err := k.Symbol("tcp_register_congestion_control")
//
// It loads nothing and changes nothing. Every question has one of three answers: the
// fact, that the thing surely does not exist (nil, false, or an error that says so, as
// [ErrNoSymbol]), or [ErrUnknown] with the reason why it cannot be known here. Nothing
// is guessed.
//
// # Where facts come from
//
// The running kernel's own memory is the best source: its export tables, the modules
// that it holds and the keys that it trusts are read through /proc/kcore, which needs
// root and a kernel that is not locked down to confidentiality. They are read once, at the first
// question that needs them, and each answer is as of then. [Kernel.Refresh] makes the next
// questions ask anew which modules are installed and loaded and what these export, after modules
// came or went; the image, its keys and its configuration stay as they were read. Without that privilege, and for a kernel that is not running,
// the same facts come from what is installed beside it: the boot image, Module.symvers, the
// configuration, and depmod's files. Symbol.Source says which it was.
package kernel
