// Package lab boots unmodified distribution kernels in QEMU and runs commands in
// them.
//
// A [Machine] lives for one command. Its memory holds everything: an initramfs
// with the kmodtrace binary as the first process (package guest), kmod's tools, a
// shell, the kernel's whole module tree and what the caller adds. The kernel's
// console is on one serial port and the results are on another, as checked frames; a
// run counts only when the guest's last frame has arrived, so that a panic or a
// hang is never taken for a pass.
//
// Guests run emulated unless one has really booted with KVM: see [ChooseAccel].
// No privilege is needed, no network, and no disk image.
package lab
