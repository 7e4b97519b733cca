// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which open files use one module: a walk over all files of all tasks, made when
 * somebody asks. Nothing stays attached. Iterators: kernels from 5.8. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include "opened.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "wanted.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* By what a file uses the module. */
enum usage {
	USAGE_FILE = 1,	  /* its operations are the module's */
	USAGE_DISK,	  /* it is a block device of a disk of the module */
	USAGE_SOCKET,	  /* a socket whose operations are the module's */
	USAGE_PROTOCOL,	  /* a socket whose protocol is */
	USAGE_CONGESTION, /* a TCP socket whose congestion control is */
	USAGE_LAYER,	  /* a TCP socket with the module's layer on top (TLS) */
	USAGE_FILESYSTEM, /* it lies in a file system of the module's type */
};

struct opened {
	__u64 start; /* of the process */
	__u64 ino;
	__u32 usage;
	__u32 pid;
	__u32 tid;
	__u32 fd;
	__u32 mode;
	__u32 dev;  /* of the file system that it lies in */
	__u32 rdev; /* which device it is */
	__u16 family;
	__u16 protocol;
	__u8 comm[16];
};

_Static_assert(sizeof(struct opened) == 64, "no holes");

const enum usage *unused_usage __attribute__((unused));
const struct opened *unused_opened __attribute__((unused));

/* Sockets also have files without these: a socket's name in a directory, opened as
 * a path, is of another file system. */
static __always_inline struct socket *socket_of(struct file *file, struct inode *inode, __u32 mode)
{
	if (!S_ISSOCK(mode) || BPF_CORE_READ(inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return 0;
	return BPF_CORE_READ(file, private_data);
}

/* What a TCP socket has by modules beside its protocol. */
static __always_inline enum usage tcp_usage(struct sock *sk)
{
	struct inet_connection_sock *icsk = (void *)sk;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (is_wanted(BPF_CORE_READ(icsk, icsk_ca_ops, owner)))
		return USAGE_CONGESTION;
	if (bpf_core_field_exists(icsk->icsk_ulp_ops) &&
	    is_wanted(BPF_CORE_READ(icsk, icsk_ulp_ops, owner)))
		return USAGE_LAYER;
	return 0;
}

static __always_inline enum usage socket_usage(struct opened *o, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (sk) {
		o->family = BPF_CORE_READ(sk, __sk_common.skc_family);
		o->protocol = BPF_CORE_READ(sk, sk_protocol);
	}
	if (is_wanted(BPF_CORE_READ(socket, ops, owner)))
		return USAGE_SOCKET;
	if (!sk)
		return 0;
	if (is_wanted(BPF_CORE_READ(sk, sk_prot_creator, owner)))
		return USAGE_PROTOCOL;
	return tcp_usage(sk);
}

/* The disk behind an open block device: what the file maps is the device's own
 * inode, not the node's, on all kernels; the device is in front of it. */
static __always_inline struct module *disk_owner(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_mapping, host);
	struct bdev_inode *bdev = (void *)inode - bpf_core_field_offset(struct bdev_inode, vfs_inode);

	return BPF_CORE_READ(bdev, bdev.bd_disk, fops, owner);
}

static __always_inline enum usage usage_of(struct opened *o, struct file *file, struct inode *inode)
{
	struct socket *socket = socket_of(file, inode, o->mode);
	enum usage usage = 0;

	if (is_wanted(BPF_CORE_READ(file, f_op, owner)))
		return USAGE_FILE;
	/* A node that is opened only as a path (O_PATH) opens no device. */
	if (S_ISBLK(o->mode) && !(BPF_CORE_READ(file, f_mode) & FMODE_PATH) &&
	    is_wanted(disk_owner(file)))
		return USAGE_DISK;
	if (socket)
		usage = socket_usage(o, socket);
	if (!usage && is_wanted(BPF_CORE_READ(inode, i_sb, s_type, owner)))
		usage = USAGE_FILESYSTEM;
	return usage;
}

/* Runs for each file of each task that has a table of its own, in the thread
 * that reads the iterator. The last call is without a file. */
SEC("iter/task_file") int iterate_task_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct opened o = {};
	struct inode *inode;

	if (!task || !file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	o.mode = BPF_CORE_READ(inode, i_mode);
	o.usage = usage_of(&o, file, inode);
	if (!o.usage)
		return 0;
	o.start = BPF_CORE_READ(task, group_leader, start_boottime);
	o.ino = BPF_CORE_READ(inode, i_ino);
	o.pid = BPF_CORE_READ(task, tgid);
	o.tid = BPF_CORE_READ(task, pid);
	o.fd = ctx->fd;
	o.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	o.rdev = BPF_CORE_READ(inode, i_rdev);
	BPF_CORE_READ_STR_INTO(&o.comm, task, comm);
	bpf_seq_write(ctx->meta->seq, &o, sizeof(o));
	return 0;
}
