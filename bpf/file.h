/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Facts about a file: its identity from the inode, its path by a bounded walk.
 * bpf_d_path is not allowed in these hooks. */
#pragma once

#define PATH_DEPTH   40
#define MNT_INTERNAL 0x4000
/* From 6.13 a flag in the nanoseconds (multigrain timestamps). */
#define I_CTIME_QUERIED (1U << 31)

/* walk writes the names from the leaf to the root, across mounts, each ended by
 * NUL, and tells whether that was all. The reader turns them round: prepending
 * would need offsets that verifiers of old kernels cannot follow. The length is
 * kept in the event, not in a register: there the verifier knows nothing of it, all
 * rounds look alike to it, and the check takes a tenth of the time. */
static __always_inline bool walk(struct file_facts *f, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *vfs = BPF_CORE_READ(file, f_path.mnt);
	struct mount *mnt = (void *)vfs - bpf_core_field_offset(struct mount, mnt);
	volatile __u32 *length = &f->length;

	*length = 0;
	for (int i = 0; i < PATH_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		struct dentry *root = BPF_CORE_READ(mnt, mnt.mnt_root);
		long n;

		if (dentry == root) {
			struct mount *up = BPF_CORE_READ(mnt, mnt_parent);

			if (up == mnt)
				return true;
			dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			mnt = up;
			continue;
		}
		if (*length >= PATH_LEN)
			break;
		/* The mask, too, is for the verifier. */
		n = bpf_probe_read_kernel_str(&f->path[*length & (PATH_LEN - 1)], PATH_NAME,
					      BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0 || n > PATH_NAME)
			break;
		*length += n;
		if (dentry == parent) /* in no directory: a memfd */
			return true;
		dentry = parent;
	}
	return false;
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
	if (!walk(f, file))
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
	bpf_ringbuf_submit(e, 0);
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
