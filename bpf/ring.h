/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ring of events, the count of those that it had no room for, and the
 * threads that are inside a system call of ours. */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

/* What the reader looks at again and again lies in memory that it has mapped. A look-up by
 * system call keeps probes from running on its CPU, and on a kernel that preempts itself
 * another thread may run meanwhile. */
#define COUNTERS(name, number, counter)                \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);      \
		__uint(map_flags, BPF_F_MMAPABLE);     \
		__uint(max_entries, number);           \
		__type(key, __u32);                    \
		__type(value, counter);                \
	} name SEC(".maps")

/* What could not be delivered, by CPU. The reader sums it. */
struct loss {
	__u64 lost;	 /* no room in the ring */
	__u64 limited;	 /* of these, those of threads that may not load */
	__u64 untracked; /* attempts and requests that found no room among those in flight */
	__u64 absent;	 /* runs of shared probes that found no program: see absents */
};

COUNTERS(losses, 1, struct loss); /* as many as there may be CPUs: the reader says */

/* A thread inside init_module, finit_module or delete_module. Hooks on paths
 * that other work uses too return at once when their thread is not here. */
struct attempt {
	__u64 id;   /* when it entered */
	__u64 file; /* the struct file already reported */
	__u64 sought; /* the name that the kernel is looking up */
	__u64 chain;  /* of callbacks, which the kernel is running */
	__u32 call;
	__u32 stages; /* a bit for each stage seen */
	__u32 symbols;
	__u32 lost;
	__u32 lookups;
	__u32 limited; /* its thread may not load */
	__u32 told;    /* enum told_by: programs that have run for it */
	__u32 due;     /* who makes it is still to be told */
};

/* Programs that others stand in for where the kernel skips them. */
enum told_by {
	TOLD_MODULE_LOAD = 1 << 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32); /* thread id */
	__type(value, struct attempt);
} attempts SEC(".maps");

static __always_inline struct loss *own_loss(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&losses, &cpu);
}

static __always_inline struct attempt *current_attempt(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&attempts, &tid);
}

/* stamp fills the header. The one place that says who and when. */
static __always_inline void stamp(struct header *h, enum kind kind, struct attempt *a)
{
	struct loss *l = own_loss();
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u64 user = bpf_get_current_uid_gid();

	__builtin_memset(h, 0, sizeof(*h));
	h->time = bpf_ktime_get_boot_ns();
	h->attempt = a ? a->id : 0;
	h->start = BPF_CORE_READ(task, group_leader, start_boottime);
	h->cgroup = bpf_get_current_cgroup_id();
	h->lost = l ? l->lost : 0;
	h->tid = id;
	h->tgid = id >> 32;
	h->uid = user;
	h->gid = user >> 32;
	h->cpu = bpf_get_smp_processor_id();
	h->kind = kind;
	bpf_get_current_comm(h->comm, sizeof(h->comm));
}

/* crowded tells whether an event of a thread that may not load has to stay out: such
 * threads may fill half of the ring, so that those which may load find room always. */
static __always_inline bool crowded(bool limited)
{
	return limited && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >
				  bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2;
}

static __always_inline bool is_limited(struct attempt *a)
{
	return a && a->limited;
}

static __always_inline void *reserve_bytes(__u64 size, bool limited)
{
	if (crowded(limited))
		return 0;
	return bpf_ringbuf_reserve(&events, size, 0);
}

/* reserve gives room for one event, to be stamped, filled and submitted. limited says
 * that it is of a thread that may not load. */
#define reserve(type, limited) ((type *)reserve_bytes(sizeof(type), limited))

/* reserve_text is for an event that ends with a text: most are short, and twice as many
 * fit into the ring so. Which of the two sizes it is the verifier must know, so that
 * whoever fills it is there once for each. */
#define reserve_text(type, text, size, limited) \
	((type *)reserve_bytes(offsetof(type, text) + (size), limited))

/* Where the reader is, in memory that it has mapped. */
struct reader {
	__u64 through; /* it has taken all before this position in the ring; all ones while nobody reads */
	__u64 waits;   /* it has found the ring empty, and sleeps until it is woken */
};

COUNTERS(reading, 1, struct reader);

static __always_inline struct reader *current_reader(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&reading, &zero);
}

/* wake gives the flag for an event that is reserved and not yet submitted: the reader is woken if
 * it sleeps, and once. The kernel's own rule would wake only a reader that has read all that
 * comes before. Whoever sets waits looks at the ring after that, and finds what is reserved. */
static __always_inline __u64 wake(void)
{
	struct reader *r = current_reader();

	if (!r || !r->waits)
		return BPF_RB_NO_WAKEUP;
	r->waits = 0;
	return BPF_RB_FORCE_WAKEUP;
}

/* The reader is woken where an attempt or a request begins and where it ends, and not for what
 * comes between: an action has a dozen events, and to wake the reader costs more than to read
 * them. It looks by itself while something is under way. */
static __always_inline void submit_and_wake(void *event)
{
	bpf_ringbuf_submit(event, wake());
}

/* submit leaves an event for the next wake, but where the event is of nothing that begins and
 * ends: no attempt and no request. */
static __always_inline void submit(void *event, bool within)
{
	bpf_ringbuf_submit(event, within ? BPF_RB_NO_WAKEUP : wake());
}

/* submit_one_of_many is for what an attempt can have without end: the reader is woken where such
 * events fill the ring. */
static __always_inline void submit_one_of_many(void *event)
{
	bool filling = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >
		       bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 8;

	bpf_ringbuf_submit(event, filling ? wake() : BPF_RB_NO_WAKEUP);
}

/* lose counts an event that found no room. Its attempt is told too, so that the
 * end of it can say what is missing. Callers test the reservation once: older
 * verifiers forget a second time that it is not null. */
static __always_inline int lose(struct attempt *a, bool limited)
{
	struct loss *l = own_loss();

	if (l) {
		__sync_fetch_and_add(&l->lost, 1);
		if (limited) /* or the compiler makes of a zero what kernels before 5.12 do not know */
			__sync_fetch_and_add(&l->limited, 1);
	}
	if (a)
		__sync_fetch_and_add(&a->lost, 1);
	return 0;
}

/* returned reports what a function of the kernel gave. */
static __always_inline int returned(enum kind kind, int ret, bool limited)
{
	struct attempt *a = current_attempt();
	struct return_event *e = reserve(struct return_event, limited);

	if (!e)
		return lose(a, limited);
	stamp(&e->h, kind, a);
	e->ret = ret;
	e->call = e->lost = e->symbols = e->unused = 0;
	if (kind == KIND_REQUEST_RETURN)
		submit_and_wake(e);
	else
		submit(e, a);
	return 0;
}
