// Package cause says why an attempt to load, unload or request a module failed, or
// why a load is bound to fail.
//
//	x := cause.NewExplainer(k, nil)
//	for action, err := range t.Actions(ctx) {
//		…
//		explained := x.Explain(ctx, action)
//		fmt.Println(explained.Cause) // symbol-missing: hello wants bar_register, which …
//	}
//
// # How it decides
//
// The kernel answers with an errno that stands for many reasons, and often prints
// nothing. What decides is put together from five kinds of evidence: the stage in
// which the attempt ended, the errno, what its own thread printed, facts about the
// bytes that the kernel judged, and facts about the kernel. One table ([Codes] lists
// what it can find) holds for each cause what evidence it takes. A cause is given when
// its evidence is complete, or when no other is left; otherwise it is [Unknown], with
// the evidence and with those that remain. Nothing is guessed.
//
// [Check] gives the same causes for a file that no kernel has been asked about yet.
package cause
