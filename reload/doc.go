// Package reload replaces a module that is in the kernel by a new build of it, and puts the old
// one back where that does not work out.
//
//	s, err := proof.Open(nil)
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	r, err := reload.Open(nil)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	result, err := r.Reload(ctx, s, "./hello.ko", nil)
//	fmt.Println(result.After.Copy, err)
//
// # Before anything is touched
//
// [Reloader.Plan] checks whether this kernel would take the file, decides on its parameters,
// and looks for the file of the old copy: the kernel has no copy that could be loaded again,
// and the build has usually overwritten the file. A [Store] keeps, by content, the files of
// modules that were loaded by kmodtrace. Of others a file with the build ID of the loaded
// copy is looked for.
//
// # What is done
//
// [Reloader.Do] unloads the old copy and loads the new one, each confirmed by the kernel's
// events: see package proof. A new copy that is not loaded is replaced by the old one again,
// with the parameters that it had. [Result.After] says which copy is in the kernel in the
// end.
//
// # Errors
//
// The error of a reload is that of the step that decided, and matches the sentinels of
// package proof. [ErrDown] matches in addition where the old copy was taken out and neither
// copy is at work.
package reload
