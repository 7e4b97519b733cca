/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who had the kernel make a kernel thread. Every kernel thread is a child of kthreadd, so
 * that its ancestors do not tell. What was true when the thread was made is kept here, and
 * reported if the thread asks for a module: nothing is sent for a thread that does not. */
#pragma once

#define CREATOR_LINE	 16 /* a creator and its ancestors, as far as they are kept */
#define MOST_CREATORS	 512
#define MOST_CREATORS_LIMITED 256
#define MOST_GENERATIONS 4 /* a thread's creator may be a kernel thread too */

/* Thread ids are used again: the start tells one thread from another of its id. */
struct thread_key {
	__u64 start;
	__u32 pid;
	__u32 unused;
};

struct creator {
	__u64 leader; /* its struct task_struct, which may be gone */
	__u64 capabilities;
	__u32 count;
	__u32 cut;     /* there are more ancestors */
	__u32 thread;  /* it is a kernel thread, and no worker of a workqueue */
	__u32 limited; /* it may not load */
	__u64 request[CREATOR_LINE]; /* whose helper it is */
	struct process line[CREATOR_LINE];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_CREATORS);
	__type(key, struct thread_key);
	__type(value, struct creator);
} creators SEC(".maps");

/* The same for creators that may not load, so that anybody's threads push none of the others
 * out: each bind of an AF_ALG socket can make one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_CREATORS_LIMITED);
	__type(key, struct thread_key);
	__type(value, struct creator);
} creators_limited SEC(".maps");

/* Room for one that is being written: it is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct creator);
} new_creator SEC(".maps");

static __always_inline struct creator *creator_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&new_creator, &zero);
}

static __always_inline struct creator *creator_of(__u64 start, __u32 pid)
{
	struct thread_key key = { .start = start, .pid = pid };
	struct creator *c = bpf_map_lookup_elem(&creators, &key);

	return c ?: bpf_map_lookup_elem(&creators_limited, &key);
}

/* keep_process writes a process of a creator's line. It is a global function for the same
 * reason as tell_process. */
__noinline int keep_process(__u64 task, __u32 index)
{
	struct creator *c = creator_room();

	if (!c || index >= CREATOR_LINE)
		return 0;
	read_process(&c->line[index], (void *)task);
	c->request[index] = request_served_by(&c->line[index]);
	c->count = index + 1;
	return 0;
}

/* keep_creator keeps the current process as the creator of a thread. */
static __always_inline int keep_creator(struct task_struct *thread, bool limited)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 flags = BPF_CORE_READ(task, flags);
	struct creator *c = creator_room();
	struct thread_key key = {};

	if (!c)
		return 0;
	key.start = BPF_CORE_READ(thread, start_boottime);
	key.pid = BPF_CORE_READ(thread, tgid);
	c->leader = (__u64)BPF_CORE_READ(task, group_leader);
	bpf_probe_read_kernel(&c->capabilities, sizeof(c->capabilities),
			      &BPF_CORE_READ(task, cred)->cap_effective);
	c->thread = flags & PF_KTHREAD && !(flags & PF_WQ_WORKER);
	c->limited = limited;
	c->count = 0;
	c->cut = 1;
	for (int i = 0; i < CREATOR_LINE; i++) {
		struct task_struct *leader = BPF_CORE_READ(task, group_leader);

		if (!BPF_CORE_READ(leader, tgid)) {
			c->cut = 0;
			break;
		}
		keep_process((__u64)leader, i);
		task = BPF_CORE_READ(leader, real_parent);
	}
	if (limited)
		bpf_map_update_elem(&creators_limited, &key, c, BPF_ANY);
	else
		bpf_map_update_elem(&creators, &key, c, BPF_ANY);
	return 0;
}

/* still_is tells whether a task is alive, and the process that was kept: it may be gone, and
 * its memory used again. */
static __always_inline bool still_is(struct task_struct *task, struct process *kept)
{
	struct process p;
	__u64 *is = (void *)&p, *was = (void *)kept;

	read_process(&p, task);
	for (int i = 0; i < offsetof(struct process, comm) / sizeof(__u64); i++) {
		if (is[i] != was[i])
			return false;
	}
	return !BPF_CORE_READ(task, exit_state);
}

/* send_kept reports a process of the line of a thread's creator. */
__noinline int send_kept(__u64 start, __u32 pid, __u64 of, __u32 place)
{
	struct creator *c = creator_of(start, pid);
	__u32 index = place & 0xffff;
	struct ancestor_event *e;

	if (!c || index >= CREATOR_LINE)
		return 0;
	e = reserve(struct ancestor_event, false);
	if (!e)
		return lose(current_attempt(), false);
	stamp(&e->h, KIND_ANCESTOR, current_attempt());
	if (c->cut && index + 1 == c->count)
		e->h.flags = FLAG_CUT;
	e->of = of;
	e->request = c->request[index];
	e->index = index;
	e->generation = place >> 16;
	e->process = c->line[index];
	submit(e, true);
	return 0;
}

/* tell_kept reports what else there is to know of such a process, where it is still the same.
 * A function of its own: what calls each other has 512 bytes of stack together. */
__noinline int tell_kept(__u64 start, __u32 pid, __u64 task, __u32 index)
{
	struct creator *c = creator_of(start, pid);

	if (c && index < CREATOR_LINE && still_is((void *)task, &c->line[index]))
		tell_once(&c->line[index], task, c->limited);
	return 0;
}

/* send_creator_actor begins the report on a creator, with what is not of its line. */
static __always_inline int send_creator_actor(struct creator *c, __u64 of, __u32 generation)
{
	struct actor_event *e = reserve_text(struct actor_event, args, SHORT_TEXT, false);

	if (!e)
		return lose(current_attempt(), false);
	stamp(&e->h, KIND_ACTOR, current_attempt());
	e->of = of;
	e->capabilities = c->capabilities;
	e->length = 0;
	e->generation = generation;
	submit(e, true);
	return 0;
}

/* send_creators reports who had the current kernel thread made, and if that was a kernel
 * thread, who had that one made. A worker does what others have queued, and not what the
 * creator wants. */
__noinline int send_creators(__u64 of)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 flags = BPF_CORE_READ(task, flags);
	__u64 start = BPF_CORE_READ(task, start_boottime);
	__u32 pid = BPF_CORE_READ(task, tgid);

	if (!(flags & PF_KTHREAD) || flags & PF_WQ_WORKER)
		return 0;
	for (__u32 generation = 1; generation <= MOST_GENERATIONS; generation++) {
		struct creator *c = creator_of(start, pid);
		struct task_struct *leader;

		if (!c)
			return 0;
		send_creator_actor(c, of, generation);
		leader = (void *)c->leader;
		for (__u32 i = 0; i < CREATOR_LINE && i < c->count; i++) {
			send_kept(start, pid, of, generation << 16 | i);
			tell_kept(start, pid, (__u64)leader, i);
			leader = BPF_CORE_READ(leader, real_parent, group_leader);
		}
		if (!c->thread)
			return 0;
		start = c->line[0].start;
		pid = c->line[0].pid;
	}
	return 0;
}
