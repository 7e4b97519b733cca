// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Runs of the programs that load and unload modules, while a command is followed: rmmod and
 * modprobe refuse by themselves what they see to be in use or not there, so that no hook on
 * module activity sees anything of it. Attached only as long as somebody asks; for every other
 * program it compares a name. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TOOL_ARGS 1024
#define TOOL_ANCESTRY  32

/* A run of a tool that has ended. */
struct tool_run {
	__u64 start; /* of the process, CLOCK_BOOTTIME, ns */
	__u32 pid;   /* in the first pid namespace, and so are those of its ancestors */
	__u32 status; /* as wait(2) has it */
	__u32 length; /* of the arguments, which may be more than are kept */
	__u32 ancestors;
	__u32 mnt_ns; /* in which it read its configuration */
	__u32 unused;
	__u64 ancestor_start[TOOL_ANCESTRY]; /* its parent first */
	__u32 ancestor[TOOL_ANCESTRY];
	__u8 comm[16];
	__u8 args[TOOL_ARGS];
};
_Static_assert(sizeof(struct tool_run) == 32 + TOOL_ANCESTRY * 12 + 16 + TOOL_ARGS, "no holes");

const struct tool_run *unused_tool_run __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} runs SEC(".maps");

/* How many found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} runs_lost SEC(".maps");

/* What an exit code is in, which kernel.h does not need. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct___exit {
	int pid;
	int tgid;
	int exit_code;
};
#pragma clang attribute pop

/* is_tool compares the name that an exec gives a process. */
static __always_inline bool is_tool(const char *comm)
{
	__u64 name = *(const __u64 *)comm;

	/* "rmmod", "insmod" and "modprobe" in the first eight bytes, as they lie in memory. */
	return name == 0x646f6d6d72ULL || name == 0x646f6d736e69ULL ||
	       (name == 0x65626f7270646f6dULL && !comm[8]);
}

/* Before the memory of the process goes (exit_mm), and so its arguments: the tracepoint is after
 * that, so a tool that begins is noted when it begins. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tool_run);
} begun SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tool_run);
} scratch SEC(".maps");

static __always_inline void read_ancestors(struct tool_run *r, struct task_struct *task)
{
	__u32 n = 0;

	for (int i = 0; i < TOOL_ANCESTRY; i++) {
		struct task_struct *leader;

		task = BPF_CORE_READ(task, group_leader, real_parent);
		leader = BPF_CORE_READ(task, group_leader);
		r->ancestor[i] = BPF_CORE_READ(leader, tgid);
		if (!r->ancestor[i])
			break;
		r->ancestor_start[i] = BPF_CORE_READ(leader, start_boottime);
		n = i + 1;
	}
	r->ancestors = n;
}

/* In the process that has become the program: its name and its arguments are the new ones. */
SEC("raw_tracepoint/sched_process_exec") int tool_begins(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	char comm[16] __attribute__((aligned(8))) = {};
	__u32 pid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	struct mm_struct *mm;
	struct tool_run *r;
	__u64 start, length;

	bpf_get_current_comm(comm, sizeof(comm));
	if (!is_tool(comm)) { /* perhaps no more */
		bpf_map_delete_elem(&begun, &pid);
		return 0;
	}
	r = bpf_map_lookup_elem(&scratch, &zero);
	if (!r)
		return 0;
	mm = BPF_CORE_READ(task, mm);
	start = BPF_CORE_READ(mm, arg_start);
	length = BPF_CORE_READ(mm, arg_end) - start;
	r->pid = pid;
	r->status = 0;
	r->start = BPF_CORE_READ(task, group_leader, start_boottime);
	r->length = length;
	r->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	r->unused = 0;
	__builtin_memcpy(r->comm, comm, sizeof(comm));
	read_ancestors(r, task);
	if (length > TOOL_ARGS)
		length = TOOL_ARGS;
	__builtin_memset(r->args, 0, sizeof(r->args));
	if (length && bpf_probe_read_user(r->args, length, (void *)start))
		r->length = 0;
	bpf_map_update_elem(&begun, &pid, r, BPF_ANY);
	return 0;
}

/* In the thread that ends, when its status is decided. A tool has one thread. */
SEC("raw_tracepoint/sched_process_exit") int tool_ends(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___exit *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 pid = id >> 32, zero = 0;
	struct tool_run *r;
	__u64 *lost;

	if (pid != (__u32)id)
		return 0;
	r = bpf_map_lookup_elem(&begun, &pid);
	if (!r)
		return 0;
	r->status = BPF_CORE_READ(task, exit_code);
	if (r->status && bpf_ringbuf_output(&runs, r, sizeof(*r), 0)) {
		lost = bpf_map_lookup_elem(&runs_lost, &zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
	}
	bpf_map_delete_elem(&begun, &pid);
	return 0;
}
