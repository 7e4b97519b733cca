/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel types behind open files, each with only the fields in use. Apart
 * from kernel.h, which has those of the hooks. */
#pragma once

/* bpf_core_read.h: no header of the kernel's own types. */
#define __VMLINUX_H__

#define S_IFMT	     0170000
#define S_ISBLK(mode)  (((mode) & S_IFMT) == 0060000)
#define S_ISSOCK(mode) (((mode) & S_IFMT) == 0140000)
#define FMODE_PATH   0x4000
#define SOCKFS_MAGIC 0x534f434b
#define AF_INET	     2
#define AF_INET6     10
#define SOCK_STREAM  1
#define IPPROTO_TCP  6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct module {
	char name[56];
};

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *group_leader;
	__u64 start_boottime; /* 5.5: until then real_start_time */
	char comm[16];
};

struct file_system_type {
	struct module *owner;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct inode {
	unsigned short i_mode;
	__u32 i_rdev;
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct address_space {
	struct inode *host;
};

struct file_operations {
	struct module *owner;
};

struct file {
	unsigned int f_mode;
	struct inode *f_inode;
	struct address_space *f_mapping;
	const struct file_operations *f_op;
	void *private_data;
};

struct block_device_operations {
	struct module *owner;
};

struct gendisk {
	const struct block_device_operations *fops;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct bdev_inode {
	struct block_device bdev;
	struct inode vfs_inode;
};

struct proto {
	struct module *owner;
};

struct sock_common {
	unsigned short skc_family;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	struct proto *sk_prot_creator;
};

struct proto_ops {
	struct module *owner;
};

struct socket {
	struct sock *sk;
	const struct proto_ops *ops;
};

struct tcp_congestion_ops {
	struct module *owner;
};

struct tcp_ulp_ops {
	struct module *owner;
};

struct inet_connection_sock {
	const struct tcp_congestion_ops *icsk_ca_ops;
	const struct tcp_ulp_ops *icsk_ulp_ops;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd __attribute__((aligned(8)));
	struct file *file;
};

#pragma clang attribute pop
