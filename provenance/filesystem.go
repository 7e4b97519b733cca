package provenance

import "fmt"

// fileSystem is what a magic number tells.
type fileSystem struct {
	name      string
	temporary bool
	overlay   bool
	network   bool
	// program says that a program answers for its files.
	program bool
	// ownDevice says that a file's st_dev is not its superblock's, which is the
	// device that the kernel's event has: the subvolumes of btrfs and the layers of
	// an overlay have numbers of their own.
	ownDevice bool
}

// remote tells whether it is not this kernel that answers for its files.
func (f fileSystem) remote() bool { return f.network || f.program }

// magics are the numbers of statfs(2) (include/uapi/linux/magic.h, and of a few that
// are not listed there).
var magics = map[uint64]fileSystem{
	0xef53:     {name: "ext4"}, // ext2 and ext3 have the same
	0x58465342: {name: "xfs"},
	0x9123683e: {name: "btrfs", ownDevice: true},
	0xf2f52010: {name: "f2fs"},
	0xca451a4e: {name: "bcachefs"},
	0x2fc12fc1: {name: "zfs"},
	0x52654973: {name: "reiserfs"},
	0x3153464a: {name: "jfs"},
	0x3434:     {name: "nilfs2"},
	0x24051905: {name: "ubifs"},
	0x72b6:     {name: "jffs2"},
	0x73717368: {name: "squashfs"},
	0xe0f5e1e2: {name: "erofs"},
	0x28cd3d45: {name: "cramfs"},
	0x7275:     {name: "romfs"},
	0x9660:     {name: "iso9660"},
	0x15013346: {name: "udf"},
	0x4d44:     {name: "vfat"}, // msdos too
	0x2011bab0: {name: "exfat"},
	0x5346544e: {name: "ntfs"},
	0x7366746e: {name: "ntfs3"},
	0x482b:     {name: "hfsplus"},
	0xf15f:     {name: "ecryptfs"},
	0x1161970:  {name: "gfs2"},
	0x7461636f: {name: "ocfs2"},

	0x794c7630: {name: "overlay", overlay: true, ownDevice: true},
	0x61756673: {name: "aufs", overlay: true, ownDevice: true},

	0x01021994: {name: "tmpfs", temporary: true}, // devtmpfs, memfds and many an initramfs too
	0x858458f6: {name: "ramfs", temporary: true},
	0x958458f6: {name: "hugetlbfs", temporary: true},

	0x6969:     {name: "nfs", network: true},
	0x517b:     {name: "smb", network: true},
	0xff534d42: {name: "cifs", network: true},
	0xfe534d42: {name: "smb2", network: true},
	0x00c36400: {name: "ceph", network: true},
	0x5346414f: {name: "afs", network: true},
	0x6b414653: {name: "afs", network: true},
	0x73757245: {name: "coda", network: true},
	0x0bd00bd0: {name: "lustre", network: true},
	0x47504653: {name: "gpfs", network: true},
	0x20030528: {name: "orangefs", network: true},
	0x01021997: {name: "9p", network: true},     // of a virtual machine's host, mostly
	0x786f4256: {name: "vboxsf", network: true}, // the same

	0x65735546: {name: "fuse", program: true},
	0x0187:     {name: "autofs", program: true},

	0x9fa0:     {name: "proc"},
	0x62656572: {name: "sysfs"},
	0x64626720: {name: "debugfs"},
	0x74726163: {name: "tracefs"},
	0x50495045: {name: "pipefs"},
	0x534f434b: {name: "sockfs"},
	0x09041934: {name: "anon_inodefs"},
	0x5345434d: {name: "secretmem", temporary: true},
}

func fileSystemOf(magic uint64) fileSystem {
	f, ok := magics[magic]
	if !ok && magic != 0 {
		f.name = fmt.Sprintf("%#x", magic)
	}
	return f
}
