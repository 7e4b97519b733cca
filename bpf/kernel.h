/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel types in use, each with only the fields in use. Offsets come from
 * the running kernel's BTF when the programs are loaded (CO-RE). Where a field
 * moved, the flavour after ___ names the version that moved it. */
#pragma once

/* bpf_tracing.h: the registers carry the kernel's names, not those of its headers
 * for programs. */
#define __VMLINUX_H__

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#else
#error "no system call convention for this architecture"
#endif

struct files_struct;
struct fs_struct;

struct ns_common {
	unsigned int inum;
};

struct user_namespace {
	int level;
	struct ns_common ns;
};

struct pid_namespace {
	struct ns_common ns;
	unsigned int level;
};

struct mount;

struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

/* 6.3, commit f122a08b197d: one 64-bit number where there were two of 32; on
 * little-endian machines the same bytes. */
struct capabilities {
	__u32 cap[2];
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t uid, euid;
	struct capabilities cap_effective;
	struct user_namespace *user_ns;
};

struct tty_struct {
	char name[64];
};

struct signal_struct {
	struct tty_struct *tty;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
	struct file *exe_file;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
};

/* 6.15 ("kernfs: Use RCU to access kernfs_node::parent."). */
struct kernfs_node___6_15 {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

enum cgroup_subsys_id {
	memory_cgrp_id = 1,
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	unsigned int flags;
	int exit_state;
	int tgid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	const struct cred *cred;
	const struct cred *real_cred;
	__u64 start_boottime; /* 5.5: until then real_start_time */
	__u64 self_exec_id;
	struct pid *thread_pid;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct fs_struct *fs;
	struct files_struct *files;
	char comm[16];
	/* Only with CONFIG_AUDIT. */
	kuid_t loginuid;
	unsigned int sessionid;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct qstr {
	const unsigned char *name;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	long long i_size;
	struct timespec64 i_ctime;
};

/* 6.6 ("fs: rename i_ctime field to __i_ctime"). */
struct inode___6_6 {
	struct timespec64 __i_ctime;
};

/* 6.11 ("fs: switch timespec64 fields in inode to discrete integers"). */
struct inode___6_11 {
	long long i_ctime_sec;
	__u32 i_ctime_nsec;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
	int mnt_flags;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path pwd;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct subprocess_info {
	const char *path;
	char **argv;
};

struct load_info {
	void *hdr;
	unsigned long len;
};

struct list_head {
	struct list_head *next;
};

typedef struct {
	int counter;
} atomic_t;

enum module_state {
	MODULE_STATE_LIVE,
};

struct module {
	enum module_state state;
	char name[56];
	const char *version;
	const char *srcversion;
	bool sig_ok; /* only with CONFIG_MODULE_SIG */
	unsigned long taints;
	int (*init)(void);
	/* Only with CONFIG_MODULE_UNLOAD. */
	struct list_head source_list; /* of struct module_use: who depends on it */
	void (*exit)(void);
	atomic_t refcnt;
};

struct module_use {
	struct list_head source_list;
	struct module *source;
};

struct module_layout {
	void *base;
	unsigned int size;
};

struct module___5_10 {
	struct module_layout core_layout, init_layout;
};

struct module_memory {
	void *base;
	unsigned int size;
};

/* 6.4, commit ac3b43283923 ("module: replace module_layout with module_memory"). */
struct module___6_4 {
	struct module_memory mem[7];
};

struct notifier_block {
	void *notifier_call;
	struct notifier_block *next;
};

struct blocking_notifier_head {
	struct notifier_block *head;
};

/* The kernel's log (kernel/printk/printk_ringbuffer.h). */
struct prb_data_blk_lpos {
	unsigned long begin, next;
};

struct prb_desc {
	struct prb_data_blk_lpos text_blk_lpos;
};

struct printk_info {
	__u16 text_len;
	__u8 facility;
	__u8 flags : 5;
	__u8 level : 3;
};

struct prb_desc_ring {
	unsigned int count_bits;
	struct prb_desc *descs;
	struct printk_info *infos;
};

struct prb_data_ring {
	unsigned int size_bits;
	char *data;
};

struct printk_ringbuffer {
	struct prb_desc_ring desc_ring;
	struct prb_data_ring text_data_ring;
};

struct prb_reserved_entry {
	struct printk_ringbuffer *rb;
	unsigned long id;
};

#pragma clang attribute pop
