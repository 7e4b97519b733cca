/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The working directory of the thread that makes an attempt: what the paths in its arguments
 * are relative to. It is read at the call, because the thread can go elsewhere, and the directory
 * be removed, before the reader gets to it. */
#pragma once

static __always_inline bool climb_directory(struct walk *w)
{
	return climb_within(w, DIRECTORY_LEN);
}
ROUND(climb_directory)

/* send_directory reports it of this thread, which is inside an attempt. A function of its own
 * for the same reason as tell_process. */
__noinline int send_directory(__u64 attempt)
{
	struct attempt *a = current_attempt();
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dentry *dentry = BPF_CORE_READ(task, fs, pwd.dentry);
	struct directory_event *e;
	struct walk w = {};

	if (!a || a->id != attempt || !dentry)
		return 0;
	e = reserve(struct directory_event, is_limited(a));
	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_DIRECTORY, a);
	e->length = 0;
	w.length = &e->length;
	w.dentry = dentry;
	w.mount = mount_of(BPF_CORE_READ(task, fs, pwd.mnt));
	REPEAT(PATH_DEPTH, climb_directory, &w);
	/* As the kernel's own d_unlinked: the root of a file system is never hashed. */
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		e->h.flags |= FLAG_UNLINKED;
	if (w.dentry)
		e->h.flags |= FLAG_CUT;
	/* On a mount that was detached, or in another namespace, the way ends in another mount,
	 * and behind the root of a bind mount in none. */
	e->unreachable = !w.dentry && w.mount != BPF_CORE_READ(task, nsproxy, mnt_ns, root);
	submit(e, true);
	return 0;
}
