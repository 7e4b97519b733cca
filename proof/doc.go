// Package proof loads and unloads modules, and proves each call by the kernel's own events.
//
// An answer of a system call is one side's word. A [Session] attaches a tracer first, makes
// the calls in a thread of its own, and collects what the kernel is seen to do in that thread.
// A load is confirmed when the kernel answered with success and the module's own init was
// seen to return; an unload, when it did and the module was seen to be freed.
//
//	s, err := proof.Open(nil)
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	result, err := s.Load(ctx, "./hello.ko", nil)
//	if err != nil {
//		return err
//	}
//	fmt.Println(result.Verdict, result.Actions[0].Took)
//
// # Verdicts
//
// The error of a call that is not confirmed is an [*Error]. [errors.Is] tells the verdicts
// apart: [ErrRefused], [ErrUnconfirmed] and [ErrContradicted]. Sentinels of package kmod and
// errnos of the kernel are found in it too. A [Result] is never nil: it has the actions that
// were seen, whatever came of them.
//
// Nothing can interrupt a call that the kernel has begun. When a context ends, only the
// waiting does, and the verdict is [Unconfirmed].
//
// # Why it was refused
//
// A Result tells what happened. [Session.Explain] adds why, and where the files come from.
// It asks the machine for that and may take a minute on a slow one, so that it is a step of
// its own.
//
// # What it takes
//
// What [tracer.Open] takes, and CAP_SYS_MODULE for the calls.
package proof
