// Package kmod loads, unloads, lists and inspects kernel modules.
//
// # What a module is
//
// A module is a piece of kernel code in an object file, NAME.ko, perhaps compressed
// (.ko.gz, .ko.xz, .ko.zst). The kernel links it into itself when it is loaded and
// takes it out again when it is unloaded. The kernel calls it by the name that the file
// records in its .modinfo section, with underscores for dashes; the file may be called
// anything.
//
// # Loading
//
// [Load] takes a file, like insmod, or a name, like modprobe:
//
//	steps, err := kmod.Load(ctx, "./hello.ko", &kmod.LoadOptions{Params: kmod.Params{"who=big world"}})
//	steps, err := kmod.Load(ctx, "xfs", nil)
//
// A name may need other modules first, stand for another module, carry options, or be
// replaced by a command, as modprobe.d and the files of depmod say. The system's
// modprobe is asked about all that ([Plan]); the loading itself is done here, one
// system call for each module ([Step.Do]), so that each call can be tied to what the
// kernel did about it.
//
// A compressed file goes to the kernel as it is where the kernel decompresses it (from 5.17
// on, where built so; [HaveDecompression]). Elsewhere it is decompressed here and goes in
// by init_module, in which case the kernel sees no file: a policy that asks where modules come from
// may refuse that.
//
// # Unloading
//
// [Unload] asks once and is refused when the module is in use. Kernels from 3.13 on
// never wait for the last user; UnloadOptions.Wait asks again instead.
//
// # Errors
//
// Every error is an [*Error] that names the operation and the module, and holds the
// kernel's errno where the kernel refused:
//
//	errors.Is(err, kmod.ErrLoaded)   // what it means
//	errors.Is(err, unix.EEXIST)      // what the kernel said
//
// The kernel says little by errno: ENOEXEC is a file that is not a module and a module
// for another kernel alike, EINVAL a parameter and much else, and a module's own init
// may return any errno. The kernel's log tells more.
//
// # Privilege and threads
//
// Loading and unloading need CAP_SYS_MODULE in the first user namespace. Listing needs nothing,
// though addresses are hidden without CAP_SYSLOG; inspecting a file needs nothing at
// all, not even a kernel with modules. Functions are safe for use by several goroutines.
package kmod
