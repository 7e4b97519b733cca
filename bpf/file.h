/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which file a load reads: its identity from the inode, its path by a bounded
 * walk. bpf_d_path is not allowed in these hooks. */
#pragma once

#define PATH_DEPTH   40
#define MNT_INTERNAL 0x4000

/* walk writes the names from the leaf to the root, across mounts, each ended by
 * NUL. The reader turns them round: prepending would need offsets that verifiers
 * of old kernels cannot follow. The length is kept in the event, not in a
 * register: there the verifier knows nothing of it, all rounds look alike to it,
 * and the check takes a tenth of the time. */
static __always_inline void walk(struct file_event *e, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *vfs = BPF_CORE_READ(file, f_path.mnt);
	struct mount *mnt = (void *)vfs - bpf_core_field_offset(struct mount, mnt);
	volatile __u32 *length = &e->length;

	*length = 0;
	for (int i = 0; i < PATH_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		struct dentry *root = BPF_CORE_READ(mnt, mnt.mnt_root);
		long n;

		if (dentry == root) {
			struct mount *up = BPF_CORE_READ(mnt, mnt_parent);

			if (up == mnt)
				return;
			dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			mnt = up;
			continue;
		}
		if (*length >= PATH_LEN)
			break;
		/* The mask, too, is for the verifier. */
		n = bpf_probe_read_kernel_str(&e->path[*length & (PATH_LEN - 1)], PATH_NAME,
					      BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0 || n > PATH_NAME)
			break;
		*length += n;
		if (dentry == parent) /* in no directory: a memfd */
			return;
		dentry = parent;
	}
	e->h.flags |= FLAG_CUT;
}

static __always_inline int send_file(struct attempt *a, struct file *file, __u16 flags)
{
	struct file_event *e = reserve(struct file_event);
	struct inode *inode;

	if (!e)
		return lose(a);
	stamp(&e->h, KIND_FILE, a);
	inode = BPF_CORE_READ(file, f_inode);
	e->h.flags = flags;
	e->ino = BPF_CORE_READ(inode, i_ino);
	e->size = BPF_CORE_READ(inode, i_size);
	e->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	e->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (!BPF_CORE_READ(inode, i_nlink) || !BPF_CORE_READ(file, f_path.dentry, d_hash.pprev))
		e->h.flags |= FLAG_UNLINKED;
	if (BPF_CORE_READ(file, f_path.mnt, mnt_flags) & MNT_INTERNAL)
		e->h.flags |= FLAG_INTERNAL;
	walk(e, file);
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
