// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Who takes and drops references to one module. module_get and module_put fire
 * on paths that other work uses (an open, a socket, a packet), so they are in an
 * object of their own, attached only while somebody asks about a module, and
 * count instead of reporting each. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "wanted.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Where in the kernel, by which process. */
struct site {
	__u64 ip;
	__u64 start; /* of the process: ids are used again */
	__u32 pid;
	__u8 comm[16];
	__u32 unused;
};

struct balance {
	__u64 gets;
	__u64 puts;
	__u64 last; /* when either happened */
};

_Static_assert(sizeof(struct site) == 40, "no holes");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct site);
	__type(value, struct balance);
} sites SEC(".maps");

struct total {
	__u64 gets; /* of all sites, also of those without room */
	__u64 puts;
	__u64 dropped; /* gets and puts that found no room among the sites */
	__u64 freed;  /* when the module's memory went; zero while it is there */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct total);
} totals SEC(".maps");

static __always_inline struct total *total(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&totals, &zero);
}

/* balance_of makes room if need be. Two processors may do so at once: both then
 * count in the one that is there. */
static __always_inline struct balance *balance_of(__u64 ip)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct balance none = {}, *found;
	struct site site = {
		.ip = ip,
		.start = BPF_CORE_READ(task, group_leader, start_boottime),
		.pid = bpf_get_current_pid_tgid() >> 32,
	};

	bpf_get_current_comm(site.comm, sizeof(site.comm));
	found = bpf_map_lookup_elem(&sites, &site);
	if (found)
		return found;
	bpf_map_update_elem(&sites, &site, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sites, &site);
}

/* A module of the same name that is loaded after the free is another one. */
static __always_inline int count(struct bpf_raw_tracepoint_args *ctx, bool get)
{
	struct balance *b;
	struct total *t;

	if (!is_wanted((void *)ctx->args[0]))
		return 0;
	t = total();
	if (!t || t->freed)
		return 0;
	__sync_fetch_and_add(get ? &t->gets : &t->puts, 1);
	b = balance_of(ctx->args[1]);
	if (!b) {
		__sync_fetch_and_add(&t->dropped, 1);
		return 0;
	}
	__sync_fetch_and_add(get ? &b->gets : &b->puts, 1);
	b->last = bpf_ktime_get_boot_ns();
	return 0;
}

/* In whatever takes the reference, after it was taken: __module_get, and a
 * try_module_get that succeeded. The second argument is where they return to. */
SEC("raw_tracepoint/module_get") int tracepoint_module_get(struct bpf_raw_tracepoint_args *ctx)
{
	return count(ctx, true);
}

/* In whatever drops it. What is dropped from an interrupt is put down to the
 * process that it hit. */
SEC("raw_tracepoint/module_put") int tracepoint_module_put(struct bpf_raw_tracepoint_args *ctx)
{
	return count(ctx, false);
}

/* The end of the module, after its exit. */
SEC("raw_tracepoint/module_free") int tracepoint_module_free(struct bpf_raw_tracepoint_args *ctx)
{
	struct total *t = total();

	if (t && !t->freed && is_wanted((void *)ctx->args[0]))
		t->freed = bpf_ktime_get_boot_ns();
	return 0;
}
