package tracer

import (
	"reflect"
	"testing"
)

// TestDecodeDirectory: what keeps a path from leading to a directory is said, and is no part of a name.
func TestDecodeDirectory(t *testing.T) {
	for _, c := range []struct {
		name        string
		names       string // from the leaf to the root
		flags       bpfFlag
		unreachable uint32
		want        Directory
	}{
		{"the root", "", 0, 0, Directory{Path: "/"}},
		{"below it", "src\x00home\x00", 0, 0, Directory{Path: "/home/src"}},
		{"removed", "x\x00", bpfFlagFLAG_UNLINKED, 0, Directory{Path: "/x", Deleted: true}},
		{"called so", "x (deleted)\x00", 0, 0, Directory{Path: "/x (deleted)"}},
		{"cut", "b\x00a\x00", bpfFlagFLAG_CUT, 0, Directory{Path: "…/a/b", PathCut: true}},
		{"unread", "", bpfFlagFLAG_CUT, 0, Directory{Path: "…/", PathCut: true}},
		{"a detached root", "", 0, 1, Directory{Path: "…/", Unreachable: true}},
		{"detached", "b\x00a\x00", 0, 1, Directory{Path: "…/a/b", Unreachable: true}},
		{"behind the root of a mount", "a\x00/\x00", 0, 1, Directory{Path: "…/a", Unreachable: true}},
		{"all at once", "a\x00/\x00", bpfFlagFLAG_UNLINKED, 2, Directory{Path: "…/a", Deleted: true, Unreachable: true}},
	} {
		w := bpfDirectoryEvent{Unreachable: c.unreachable, Length: uint32(len(c.names))}
		copy(w.Path[:], c.names)
		w.H.Kind, w.H.Flags = uint16(KindDirectory), uint16(c.flags)
		e, err := decode(bytesOf(&w))
		if err != nil || !reflect.DeepEqual(e.Directory, &c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, e.Directory, err, c.want)
		}
	}
}
