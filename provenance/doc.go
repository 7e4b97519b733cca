// Package provenance says where the file of a load comes from: what an auditor asks
// about a module beyond what the kernel did with it.
//
//	lookup := provenance.NewLookup(nil)
//	for action, err := range t.Actions(ctx) {
//		…
//		if o := lookup.Of(ctx, &action); o != nil && o.Package == nil {
//			fmt.Println(action.Module, "is of no package:", o.SHA256)
//		}
//	}
//
// # What is asked when
//
// The kernel's own events say which file it was, and what its owner and mode were at
// that moment ([tracer.File]). All else is looked up when the load has ended, by when
// the file may be another. So the file that is found is compared with the kernel's: by
// device, inode, size and the time of its last change. Only of one that is the same
// are there a hash and a signer. Where it is not the same, [Origin.State] says so.
//
// The time of change is the file system's, and as fine as that keeps it: some
// milliseconds on most, before 6.13. Bytes exchanged within one tick of that clock, or
// through a mapping that was writable already, or below the file system, are not
// noticed, and who may set the clock can forge it. The hash tells files apart that
// nobody wanted to hide; it proves nothing about a machine whose root is not trusted.
//
// # What is hashed
//
// The bytes of the file. Of a compressed module these are the compressed bytes, as
// sha256sum has them, and not those of the image that the kernel made of them.
//
// Not read are files that are too big, and those of network file systems and of programs
// (FUSE), which may give other bytes each time they are asked, or none for ever. A path on
// which such a file system, or an autofs, is mounted by now is not followed. Files of
// callers that may not load modules at all are not looked at: they must not decide what a
// privileged reader reads, or waits for.
//
// # Other questions about the file
//
// The file is found once, as a descriptor, and its path is not followed again. Whoever has
// another question about it than where it comes from asks that [Subject]:
//
//	file := lookup.Find(&action)
//	defer file.Close()
//	origin := file.Origin(ctx)
//	module, err := file.Inspect(ctx)
//
// # What can hang
//
// Every look has a bound in time, and all at one file together have the same. One that does
// not end in it is left behind, for nothing can end it, and the origin says so. Four may be
// left behind of one user's loads from one device. Further ones of that user and device are
// not begun, and say that; those of others are, and a part of all is for root's loads alone.
// [Lookup.Hung] lists them.
package provenance
