/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Requests for modules, and which processes are their helpers. */
#pragma once

/* A thread inside __request_module. Apart from the attempts: an init may itself
 * request a module. */
struct request {
	__u64 id; /* when it was told to the reader; 0 not yet */
	__u64 format;
	__u64 arg[FORMAT_ARGS];
	__u64 site;
	__u64 name; /* what the security modules are asked about */
	__u32 wait;
	__u16 limited; /* the thread may not load */
	__u16 folded;  /* counted, and not told */
	__u32 line;    /* how much of who makes it is to be told */
	__u32 due;     /* that is still to be told */
	__s32 ret;     /* where it is over */
	__u32 over;
};

struct requests {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32); /* thread id */
	__type(value, struct request);
};

struct requests requests SEC(".maps");
/* Those of threads that may not load have a room of their own: a request waits while
 * fifty others run (MAX_KMOD_CONCURRENT), and anybody can have some thousand threads
 * wait. */
struct requests limited_requests SEC(".maps");

static __always_inline struct request *current_request(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct request *r = bpf_map_lookup_elem(&requests, &tid);

	return r ?: bpf_map_lookup_elem(&limited_requests, &tid);
}

static __always_inline void forget_request(struct request *r)
{
	__u32 tid = bpf_get_current_pid_tgid();

	if (r->limited)
		bpf_map_delete_elem(&limited_requests, &tid);
	else
		bpf_map_delete_elem(&requests, &tid);
}

/* end_request tells what became of it: the helper's wait status, or why there was none. */
static __always_inline int end_request(struct request *r, int ret)
{
	bool limited = r->limited, folded = r->folded;

	forget_request(r);
	return folded ? 0 : returned(KIND_REQUEST_RETURN, ret, limited);
}

/* Helpers that the kernel was told to start, by the pointer that both the
 * requester and the new task have (struct subprocess_info). What is not taken
 * out, because the helper never ran, makes room when it is the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64); /* id of the request */
} starting SEC(".maps");

/* Processes that are helpers. */
struct helper {
	__u64 request;
	__u64 start; /* of the process: ids are used again */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32); /* process id */
	__type(value, struct helper);
} helpers SEC(".maps");
