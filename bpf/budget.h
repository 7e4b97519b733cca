/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What callers cost who may not load. The three system calls refuse them at once, so
 * that anybody can make some ten thousand such calls a second, and push all else out of
 * the ring, and out of what the reader keeps. Each user's first are told in full, then a
 * few a second, as long as the reader can follow; what is more is counted. */
#pragma once

/* What has a budget of its own, by user. */
enum budget {
	BUDGET_CALLS,	 /* system calls that will be refused */
	BUDGET_REQUESTS, /* requests: in full, or at all where no helper comes of them */
	BUDGETS,
};

#define SECOND 1000000000ULL
/* Of one user, and of all of them together: whoever has subordinate users has 65,536. */
#define USER_BURST 64
#define USER_EACH  (SECOND / 4)
#define ALL_BURST  128
#define ALL_EACH   (SECOND / 16)

/* How many are a second is by the clock, and how many the reader can take is not: on a slow
 * or busy machine it takes fewer, and what waits for it would grow without end, with the
 * loads that matter behind it. So nothing more is told while that many of one budget are
 * unread, and the first of these is that old. */
#define MOST_UNREAD 8 /* a power of two */
#define UNREAD_FOR  (SECOND / 2)

/* A bucket of tokens, by the moment at which it is full. */
struct bucket {
	__u64 full;
};

/* What was told, and where in the ring. */
struct told_at {
	__u64 time;
	__u64 position;
};

struct shared_budget {
	struct bucket bucket;
	__u64 next; /* of last, to be written */
	struct told_at last[MOST_UNREAD];
};

struct budget_key {
	__u32 uid;
	__u32 budget;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct budget_key);
	__type(value, struct bucket);
} user_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUDGETS);
	__type(key, __u32);
	__type(value, struct shared_budget);
} all_budgets SEC(".maps");

/* spend takes a token, and tells whether there was one. Threads that do so at the same
 * moment may get one more each, and pay for it: kernels before 5.12 have no other atomic
 * instruction than to add. */
static __always_inline bool spend(struct bucket *b, __u64 now, __u64 burst, __u64 each)
{
	__u64 full = b->full;

	if (full > now + (burst - 1) * each)
		return false;
	if (full < now)
		b->full = now + each;
	else
		__sync_fetch_and_add(&b->full, each);
	return true;
}

enum afford {
	AFFORDABLE,
	OVER_BUDGET,
	READER_BEHIND, /* and the budget would allow it */
};

/* keep_pace tells whether the reader can follow, and notes that one more is told. Two that do
 * so at the same moment may share a place, and then one more may wait: it is a bound all the
 * same. */
static __always_inline bool keep_pace(struct shared_budget *b, __u64 now)
{
	__u64 next = b->next;
	struct told_at *oldest = &b->last[next & (MOST_UNREAD - 1)];
	struct reader *r = current_reader();

	if (!r)
		return false;
	if (r->through < oldest->position && now > oldest->time + UNREAD_FOR)
		return false;
	oldest->time = now;
	oldest->position = bpf_ringbuf_query(&events, BPF_RB_PROD_POS);
	b->next = next + 1;
	return true;
}

/* affordable tells whether one more of the current user can be told. While the reader is
 * behind the buckets do not fill up, or all their tokens would be spent at once when it no
 * longer is. */
static __always_inline enum afford affordable(enum budget budget)
{
	struct budget_key key = { .uid = bpf_get_current_uid_gid(), .budget = budget };
	__u64 now = bpf_ktime_get_boot_ns();
	struct bucket *b = bpf_map_lookup_elem(&user_budgets, &key);
	struct shared_budget *shared;
	__u32 all = budget;

	if (!b) {
		struct bucket fresh = {};

		bpf_map_update_elem(&user_budgets, &key, &fresh, BPF_NOEXIST);
		b = bpf_map_lookup_elem(&user_budgets, &key);
	}
	if (!b || !spend(b, now, USER_BURST, USER_EACH))
		return OVER_BUDGET;
	shared = bpf_map_lookup_elem(&all_budgets, &all);
	if (!shared || !spend(&shared->bucket, now, ALL_BURST, ALL_EACH))
		return OVER_BUDGET;
	return keep_pace(shared, now) ? AFFORDABLE : READER_BEHIND;
}

/* What is counted and not told. */
enum fold {
	FOLD_INIT_MODULE = CALL_INIT_MODULE,
	FOLD_FINIT_MODULE = CALL_FINIT_MODULE,
	FOLD_DELETE_MODULE = CALL_DELETE_MODULE,
	FOLD_REQUEST,
	FOLDS,
};

struct fold_key {
	__u32 uid;
	__u32 what; /* enum fold */
};

struct folded {
	__u64 count;
	__u64 unread; /* of these, those because of a reader that was behind */
	__u64 first, last; /* CLOCK_BOOTTIME, ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fold_key);
	__type(value, struct folded);
} folds SEC(".maps");

/* Those for whom there was no room there, and at 0 the count of all: only when that has
 * moved the reader looks at the rest. */
COUNTERS(other_folds, FOLDS, struct folded);

static __always_inline int fold(enum fold what, bool behind)
{
	struct fold_key key = { .uid = bpf_get_current_uid_gid(), .what = what };
	struct folded *f = bpf_map_lookup_elem(&folds, &key);
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 other = what, every = 0;

	if (!f) {
		struct folded fresh = { .first = now };

		bpf_map_update_elem(&folds, &key, &fresh, BPF_NOEXIST);
		f = bpf_map_lookup_elem(&folds, &key);
	}
	if (!f)
		f = bpf_map_lookup_elem(&other_folds, &other);
	if (!f)
		return 0;
	if (!f->first)
		f->first = now;
	f->last = now;
	if (behind) /* as in lose */
		__sync_fetch_and_add(&f->unread, 1);
	__sync_fetch_and_add(&f->count, 1);
	f = bpf_map_lookup_elem(&other_folds, &every);
	if (f)
		__sync_fetch_and_add(&f->count, 1);
	return 0;
}
