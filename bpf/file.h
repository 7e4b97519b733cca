/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Facts about a file: its identity from the inode, its path by a bounded walk.
 * bpf_d_path is not allowed in these hooks. */
#pragma once

#define PATH_DEPTH   40
#define MNT_INTERNAL 0x4000
/* From 6.13 a flag in the nanoseconds (multigrain timestamps). */
#define I_CTIME_QUERIED (1U << 31)

/* walk is the state of the way from a file or directory up to the root. The stacks of all
 * functions that call each other take 512 bytes at most, and this is in the deepest. */
struct walk {
	__u32 *length; /* of what is written of the path, which lies behind it */
	struct dentry *dentry; /* the next one; none where all are written */
	struct mount *mount; /* in the end that whose root was reached; none where it was not */
};

/* climb_within writes a name and goes one directory up, across mounts. It tells whether the
 * way has ended. A path of room bytes, a power of two, is long enough, and a name more than
 * that fits. The length is kept in the event, not in a register: there the verifier knows
 * nothing of it, and all rounds look alike to it. */
static __always_inline bool climb_within(struct walk *w, __u32 room)
{
	/* Not read through w below, whose own fields would be sought in the kernel then. */
	struct dentry *dentry = w->dentry, *parent;
	struct mount *mount = w->mount, *up;
	volatile __u32 *length = w->length;
	__u8 *path = (__u8 *)(w->length + 1);
	long n;

	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		up = BPF_CORE_READ(mount, mnt_parent);
		w->dentry = up == mount ? 0 : BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = up;
		return up == mount;
	}
	if (*length >= room)
		return true;
	/* The mask, too, is for the verifier. */
	n = bpf_probe_read_kernel_str(&path[*length & (room - 1)], PATH_NAME,
				      BPF_CORE_READ(dentry, d_name.name));
	if (n <= 0 || n > PATH_NAME)
		return true;
	*length += n;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry) { /* in no directory: a memfd */
		w->dentry = 0;
		w->mount = 0;
		return true;
	}
	w->dentry = parent;
	return false;
}

static __always_inline bool climb(struct walk *w)
{
	return climb_within(w, PATH_LEN);
}
ROUND(climb)

static __always_inline struct mount *mount_of(struct vfsmount *vfs)
{
	return (void *)vfs - bpf_core_field_offset(struct mount, mnt);
}

/* walk_up writes the names from the leaf to the root, each ended by NUL, and tells whether
 * that was all. The reader turns them round: prepending would need offsets that verifiers
 * of old kernels cannot follow. */
static __always_inline bool walk_up(struct file_facts *f, struct file *file)
{
	struct walk w = {
		.length = &f->length,
		.dentry = BPF_CORE_READ(file, f_path.dentry),
		.mount = mount_of(BPF_CORE_READ(file, f_path.mnt)),
	};

	f->length = 0;
	REPEAT(PATH_DEPTH, climb, &w);
	return !w.dentry;
}

/* change_time reads it where this kernel has it, in nanoseconds. */
static __always_inline __s64 change_time(struct inode *inode)
{
	struct inode___6_11 *new = (void *)inode;
	struct inode___6_6 *middle = (void *)inode;

	if (bpf_core_field_exists(new->i_ctime_sec))
		return BPF_CORE_READ(new, i_ctime_sec) * 1000000000LL +
		       (BPF_CORE_READ(new, i_ctime_nsec) & ~I_CTIME_QUERIED);
	if (bpf_core_field_exists(middle->__i_ctime))
		return BPF_CORE_READ(middle, __i_ctime.tv_sec) * 1000000000LL +
		       BPF_CORE_READ(middle, __i_ctime.tv_nsec);
	return BPF_CORE_READ(inode, i_ctime.tv_sec) * 1000000000LL + BPF_CORE_READ(inode, i_ctime.tv_nsec);
}

/* read_file_facts gives the flags that go with them. */
static __always_inline __u16 read_file_facts(struct file_facts *f, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u16 flags = 0;

	f->unused = 0;
	f->ino = BPF_CORE_READ(inode, i_ino);
	f->size = BPF_CORE_READ(inode, i_size);
	f->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	f->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	f->mode = BPF_CORE_READ(inode, i_mode);
	f->uid = BPF_CORE_READ(inode, i_uid.val);
	f->gid = BPF_CORE_READ(inode, i_gid.val);
	f->changed = change_time(inode);
	if (!BPF_CORE_READ(inode, i_nlink) || !BPF_CORE_READ(file, f_path.dentry, d_hash.pprev))
		flags |= FLAG_UNLINKED;
	if (BPF_CORE_READ(file, f_path.mnt, mnt_flags) & MNT_INTERNAL)
		flags |= FLAG_INTERNAL;
	if (!walk_up(f, file))
		flags |= FLAG_CUT;
	return flags;
}

static __always_inline int send_file(struct attempt *a, struct file *file, __u16 flags)
{
	struct file_event *e = reserve(struct file_event, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_FILE, a);
	e->h.flags = flags | read_file_facts(&e->file, file);
	submit(e, a);
	return 0;
}

/* file_of looks a descriptor up as the caller named it. Another thread can swap
 * it before the kernel does: its result is a claim. */
static __always_inline struct file *file_of(__s32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(table, fd);
	struct file *file = 0;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}
