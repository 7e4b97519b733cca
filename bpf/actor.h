/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who makes an attempt or a request: the process, its ancestors, and the request
 * that it serves. All is read at that moment, for a process may be gone when the
 * reader gets to it. What tells the processes from each other comes with each
 * actor; the long rest (program, control group) once for each process. */
#pragma once

#define PF_KTHREAD   0x00200000
#define PF_WQ_WORKER 0x00000020
#define CGROUP_DEPTH 24

/* Processes that the reader was told of. The reader must not forget one sooner: it keeps
 * four times as many (tracer/known.go). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_TOLD);
	__uint(key_size, offsetof(struct process, comm));
	__uint(value_size, sizeof(__u32));
} told SEC(".maps");

/* The same for threads that may not load, so that new processes of anybody push none of
 * the others out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_TOLD_LIMITED);
	__uint(key_size, offsetof(struct process, comm));
	__uint(value_size, sizeof(__u32));
} told_limited SEC(".maps");

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *kn)
{
	struct kernfs_node___6_15 *new = (void *)kn;

	return bpf_core_field_exists(new->__parent) ? BPF_CORE_READ(new, __parent) : BPF_CORE_READ(kn, parent);
}

/* cgroup_of gives the control group in the unified hierarchy, or in that of memory
 * where the unified one is not used. */
static __always_inline struct kernfs_node *cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct kernfs_node *kn = BPF_CORE_READ(set, dfl_cgrp, kn);
	struct cgroup_subsys_state **subsys = (void *)set + bpf_core_field_offset(struct css_set, subsys);
	struct cgroup_subsys_state *css = 0;

	if (parent_of(kn) || !bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return kn;
	bpf_probe_read_kernel(&css, sizeof(css),
			      &subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return css ? BPF_CORE_READ(css, cgroup, kn) : kn;
}

/* cgroup_walk is the state of the way from a control group up to the root. */
struct cgroup_walk {
	struct process_event *event;
	struct kernfs_node *node; /* the next one; none where all are written */
};

/* climb_cgroup writes a name and goes one up. It tells whether the way has ended. */
static __always_inline bool climb_cgroup(struct cgroup_walk *w)
{
	struct kernfs_node *node = w->node, *parent = parent_of(node);
	volatile __u32 *length = &w->event->cgroup_length;
	long n;

	if (!parent) {
		w->node = 0;
		return true;
	}
	if (*length >= CGROUP_LEN)
		return true;
	n = bpf_probe_read_kernel_str(&w->event->cgroup[*length & (CGROUP_LEN - 1)], PATH_NAME,
				      BPF_CORE_READ(node, name));
	if (n <= 0 || n > PATH_NAME)
		return true;
	*length += n;
	w->node = parent;
	return false;
}
ROUND(climb_cgroup)

static __always_inline void read_cgroup(struct process_event *e, struct task_struct *task)
{
	struct cgroup_walk w = { .event = e, .node = cgroup_of(task) };

	REPEAT(CGROUP_DEPTH, climb_cgroup, &w);
	if (w.node)
		e->traits |= TRAIT_CGROUP_CUT;
}

/* read_process fills all of it: it is a key. */
static __always_inline void read_process(struct process *p, struct task_struct *leader)
{
	const struct cred *cred = BPF_CORE_READ(leader, real_cred);

	p->start = BPF_CORE_READ(leader, start_boottime);
	p->cgroup = BPF_CORE_READ(cgroup_of(leader), id);
	p->pid = BPF_CORE_READ(leader, tgid);
	p->exec = BPF_CORE_READ(leader, self_exec_id);
	p->uid = BPF_CORE_READ(cred, uid.val);
	p->euid = BPF_CORE_READ(cred, euid.val);
	p->loginuid = p->session = -1;
	if (bpf_core_field_exists(leader->loginuid)) {
		p->loginuid = BPF_CORE_READ(leader, loginuid.val);
		p->session = BPF_CORE_READ(leader, sessionid);
	}
	p->mnt_ns = BPF_CORE_READ(leader, nsproxy, mnt_ns, ns.inum);
	p->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	p->comm[0] = 0;
	BPF_CORE_READ_STR_INTO(&p->comm, leader, comm);
}

static __always_inline void read_namespaces(struct process_event *e, struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *own = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			   level * bpf_core_type_size(struct upid);

	e->pid_ns = BPF_CORE_READ(own, ns, ns.inum);
	if (!level)
		e->traits |= TRAIT_FIRST_PID_NS;
	if (!BPF_CORE_READ(leader, real_cred, user_ns, level))
		e->traits |= TRAIT_FIRST_USER_NS;
}

/* tell_process reports a process, and whether there was room for that. It is a global
 * function, so that the verifier looks at its two walks once, not for each ancestor;
 * such functions take numbers, and no pointers before 5.13. */
__noinline int tell_process(__u64 task, __u32 limited)
{
	struct task_struct *leader = (void *)task;
	struct process_event *e = reserve(struct process_event, limited);
	struct mm_struct *mm;
	struct file *exe;

	if (!e) {
		lose(current_attempt(), limited);
		return 0;
	}
	stamp(&e->h, KIND_PROCESS, 0);
	read_process(&e->process, leader);
	e->traits = e->unused = e->cgroup_length = 0;
	read_namespaces(e, leader);
	read_cgroup(e, leader);
	e->tty[0] = 0;
	bpf_probe_read_kernel_str(e->tty, sizeof(e->tty), &BPF_CORE_READ(leader, signal, tty)->name);
	e->exe.ino = e->exe.length = 0;
	if (BPF_CORE_READ(leader, flags) & PF_KTHREAD)
		e->traits |= TRAIT_KTHREAD;
	if (e->traits & TRAIT_KTHREAD && BPF_CORE_READ(leader, flags) & PF_WQ_WORKER)
		e->traits |= TRAIT_WORKER;
	/* A process whose first thread has ended has its memory in the others. */
	mm = BPF_CORE_READ(leader, mm);
	if (!mm && (__u32)BPF_CORE_READ(leader, tgid) == bpf_get_current_pid_tgid() >> 32)
		mm = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), mm);
	exe = BPF_CORE_READ(mm, exe_file);
	if (exe)
		e->h.flags = read_file_facts(&e->exe, exe);
	if (limited)
		e->h.flags |= FLAG_LIMITED;
	submit(e, true);
	return 1;
}

static __always_inline __u64 request_served_by(struct process *p)
{
	struct helper *h = bpf_map_lookup_elem(&helpers, &p->pid);

	return h && h->start == p->start ? h->request : 0;
}

static __always_inline void read_arguments(struct actor_event *e, __u64 start, __u64 length, __u32 room)
{
	e->length = length;
	barrier_var(length); /* both as for messages */
	if (length > room) {
		e->h.flags |= FLAG_CUT;
		length = room;
	}
	barrier_var(length);
	if (length && bpf_probe_read_user(e->args, length, (void *)start))
		e->h.flags |= FLAG_UNREADABLE;
}

/* tell_once reports a process, if the reader does not know it. */
static __always_inline void tell_once(struct process *p, __u64 task, bool limited)
{
	__u32 yes = 1;

	if (bpf_map_lookup_elem(&told, p) || (limited && bpf_map_lookup_elem(&told_limited, p)))
		return;
	if (!tell_process(task, limited))
		return;
	if (limited)
		bpf_map_update_elem(&told_limited, p, &yes, BPF_ANY);
	else
		bpf_map_update_elem(&told, p, &yes, BPF_ANY);
}

/* Whose line it is. */
#define LINE_LIMITED (1 << 0) /* of a thread that may not load */
#define LINE_CUT     (1 << 1) /* its process alone is told, none of the ancestors */
#define LINE_BEHIND  (1 << 2) /* that is because the reader is behind */

/* send_ancestor reports a process of an actor's line. A function of its own for the same
 * reason as tell_process, which it calls. */
__noinline int send_ancestor(__u64 task, __u64 of, __u32 index, __u32 line)
{
	struct task_struct *leader = (void *)task;
	struct attempt *a = current_attempt();
	bool limited = line & LINE_LIMITED;
	struct ancestor_event *e = reserve(struct ancestor_event, limited);
	struct process p;

	if (!e)
		return lose(a, limited);
	stamp(&e->h, KIND_ANCESTOR, a);
	if (line & LINE_CUT)
		e->h.flags = FLAG_CUT;
	read_process(&p, leader);
	e->of = of;
	e->request = request_served_by(&p);
	e->index = index;
	e->generation = 0;
	e->process = p;
	submit(e, true);
	tell_once(&p, task, limited);
	return 0;
}

static __always_inline int send_arguments(struct attempt *a, __u64 of, struct task_struct *task, __u64 start,
					  __u64 length, __u32 room, bool limited)
{
	struct actor_event *e = reserve_text(struct actor_event, args, room, limited);

	if (!e)
		return lose(a, limited);
	stamp(&e->h, KIND_ACTOR, a);
	e->of = of;
	e->generation = 0;
	e->capabilities = 0;
	bpf_probe_read_kernel(&e->capabilities, sizeof(e->capabilities),
			      &BPF_CORE_READ(task, cred)->cap_effective);
	read_arguments(e, start, length, room);
	submit(e, true);
	return 0;
}

static __always_inline int send_caller(struct attempt *a, __u64 of, struct task_struct *task, bool limited)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u64 start = BPF_CORE_READ(mm, arg_start);
	__u64 length = mm ? BPF_CORE_READ(mm, arg_end) - start : 0;

	if (length <= SHORT_TEXT)
		return send_arguments(a, of, task, start, length, SHORT_TEXT, limited);
	return send_arguments(a, of, task, start, length, ARGS_LEN, limited);
}

/* send_actor reports who makes an attempt or a request, and all of its ancestors that
 * are kept. The request that it works for is that of the first which is a helper: the
 * kernel started it, or it is below that, where modprobe.d has a shell run. */
static __always_inline int send_actor(struct attempt *a, __u64 of, __u32 line)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	send_caller(a, of, task, line & LINE_LIMITED);
	for (int i = 0; i < ANCESTRY; i++) {
		struct task_struct *leader = BPF_CORE_READ(task, group_leader);

		if (!BPF_CORE_READ(leader, tgid)) /* of each processor, parent of the first process */
			break;
		send_ancestor((__u64)leader, of, i, line);
		if (line & LINE_CUT)
			break;
		task = BPF_CORE_READ(leader, real_parent);
	}
	return 0;
}
