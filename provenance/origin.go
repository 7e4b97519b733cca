package provenance

import (
	"fmt"
	"io/fs"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Origin is what is known of where a module's file comes from.
type Origin struct {
	// State is what has become of the file since the kernel had it.
	State State `json:"state"`
	// Why says in words why State is not Same, why there is no hash, and what else
	// could not be found out.
	Why string `json:"why,omitempty"`
	// SHA256 is of the file's bytes, compressed where they are, as long as the file
	// is known to be the one that the kernel had. HashedSize counts them.
	SHA256     Digest `json:"sha256,omitempty"`
	HashedSize int64  `json:"hashed_size,omitempty"`
	// Signer is whose key the signature at its end claims: the kernel's word on
	// whether that is true is in the action.
	Signer string `json:"signer,omitempty"`

	// FileSystem names the file system, "ext4", or has its number.
	FileSystem string `json:"file_system,omitempty"`
	// Temporary says that it is kept in memory, and gone with the next boot.
	Temporary bool `json:"temporary,omitempty"`
	// Overlay says that it is made of layers: which of them has the file is not known.
	Overlay bool `json:"overlay,omitempty"`
	// Network says that its files are another machine's.
	Network bool `json:"network,omitempty"`
	// Root says that it is the file system of the root directory.
	Root bool `json:"root,omitempty"`
	// Removable says that its disk can be taken out, or is on a USB bus. Not known of
	// file systems that have no device of their own: overlays, btrfs, the network's.
	Removable bool `json:"removable,omitempty"`

	// Owner and Mode are as the kernel had them, or else as they are now; nil and
	// empty where neither is known. Mode is in octal, "0644".
	Owner *Owner `json:"owner,omitempty"`
	Mode  string `json:"mode,omitempty"`
	// WritableByOthers says that not only its owner may write it: everybody may, or
	// a group that is not root's. Who may write the directories that it is in is not asked.
	WritableByOthers bool `json:"writable_by_others,omitempty"`

	// Package is the installed package that lists the path; nil where none does, or
	// the path is another mount namespace's.
	Package *Package `json:"package,omitempty"`
	// DKMS is NAME/VERSION of what DKMS built on this machine for the running kernel, where the file is a copy
	// of that; else empty.
	DKMS string `json:"dkms,omitempty"`
	// InTree says that it is in the running kernel's own directory of modules.
	InTree bool `json:"in_tree"`
	// InPlaceOf is the file that is installed for a module of that name, where this one is not in the running
	// kernel's own directory; empty where none is.
	InPlaceOf string `json:"in_place_of,omitempty"`
	// OtherRelease is the release of the kernel in whose directory it is instead.
	OtherRelease string `json:"other_release,omitempty"`
}

// State is what has become of a file since the kernel had it.
type State string

// The states.
const (
	// Same: it is there, unchanged.
	Same State = "same"
	// Changed: it is there, and its contents or attributes have changed.
	Changed State = "changed"
	// Replaced: at its path is another file, or something else than a file.
	Replaced State = "replaced"
	// Gone: there is nothing at its path, or it has none.
	Gone State = "gone"
	// Unreadable: it may not be looked at.
	Unreadable State = "unreadable"
	// Unchecked: it was not looked at, or nothing tells whether it is the same.
	Unchecked State = "unchecked"
)

// Digest is a hash in hexadecimal.
type Digest string

// Owner is who owns a file. The names are this machine's, where it has them.
type Owner struct {
	UID   uint32 `json:"uid"`
	User  string `json:"user,omitempty"`
	GID   uint32 `json:"gid"`
	Group string `json:"group,omitempty"`
}

// Package is an installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Manager string `json:"manager"` // dpkg or rpm
	// Content tells whether the file is as the package brought it; empty where the package lists no hash, or the
	// file's is not known.
	Content Content `json:"content,omitempty"`
}

// Content is how a file compares with what its package lists.
type Content string

// The comparisons.
const (
	AsPackaged Content = "as-packaged"
	Differs    Content = "differs"
)

// packaged is a package with the hash that it lists for one of its files, in hexadecimal, by MD5 or SHA-256; empty for none.
type packaged struct {
	*Package
	hash string
}

// compared is the package, with what its hash says of a file that has these.
func (p *packaged) compared(md5, sha256 string) *Package {
	if p == nil {
		return nil
	}
	of := *p.Package
	own := md5
	if len(p.hash) == len(sha256) {
		own = sha256
	}
	switch {
	case p.hash == "" || own == "" || len(own) != len(p.hash):
	case own == p.hash:
		of.Content = AsPackaged
	default:
		of.Content = Differs
	}
	return &of
}

func (o *Origin) settle(s State, format string, args ...any) {
	o.State, o.Why = s, fmt.Sprintf(format, args...)
}

// note adds to what Why says.
func (o *Origin) note(format string, args ...any) {
	if o.Why != "" {
		o.Why += "; "
	}
	o.Why += fmt.Sprintf(format, args...)
}

// clone copies it, with all that a lookup writes to.
func (o *Origin) clone() *Origin {
	with := *o
	if o.Owner != nil {
		owner := *o.Owner
		with.Owner = &owner
	}
	return &with
}

// ownedBy takes over owner and mode (st_mode, i_mode).
func (o *Origin) ownedBy(uid, gid, mode uint32) {
	o.Owner = &Owner{UID: uid, GID: gid}
	o.Mode = fmt.Sprintf("%04o", mode&0o7777)
	const group, everybody = 0o020, 0o002
	o.WritableByOthers = mode&everybody != 0 || mode&group != 0 && gid != 0
}

// fromEvent gives what the event alone tells.
func fromEvent(f *tracer.File) *Origin {
	fs := fileSystemOf(f.FSMagic)
	o := &Origin{
		State: Unchecked, FileSystem: fs.name,
		Temporary: fs.temporary, Overlay: fs.overlay, Network: fs.network,
	}
	if f.Mode != 0 {
		o.ownedBy(f.UID, f.GID, f.Mode)
	}
	return o
}

// kindOf names what is at a path instead of a regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
