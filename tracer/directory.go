package tracer

import "bytes"

// Directory is the working directory of the thread that makes a call, at that moment: what the
// relative paths in its arguments are relative to.
type Directory struct {
	// Path is from the root of the thread's mount namespace, also for one in a chroot.
	Path string `json:"path"`
	// PathCut says that only the last names of the path are kept, behind "…".
	PathCut bool `json:"path_cut,omitempty"`
	// Deleted tells a directory that was removed. Path is what it was called before.
	Deleted bool `json:"deleted,omitempty"`
	// Unreachable says that no path leads to it from that root: it is on a file system that was
	// detached, in another mount namespace, or outside of what is mounted. Path has the names
	// that are known of it, behind "…".
	Unreachable bool `json:"unreachable,omitempty"`
}

func decodeDirectory(w *bpfDirectoryEvent) Directory {
	d := Directory{
		PathCut:     has(&w.H, bpfFlagFLAG_CUT),
		Deleted:     has(&w.H, bpfFlagFLAG_UNLINKED),
		Unreachable: w.Unreachable != 0,
	}
	names := w.Path[:min(int(w.Length), len(w.Path))]
	if d.Unreachable {
		// The root of a file system is called so, and is in the way where its mount is not.
		names = bytes.TrimSuffix(names, []byte("/\x00"))
	}
	d.Path = joinPath(names, d.PathCut || d.Unreachable)
	return d
}
