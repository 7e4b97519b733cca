/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Many probes by one event. A kernel waits for grace periods to switch a trace event off,
 * one event after another; but one event can have probes on many functions (from 5.4,
 * commit ca89bc071d5e), and one program for all of them. That goes on as the program of
 * the function that was hit, by a tail call: the same programs can be attached alone. The
 * reader puts each in when its turn comes; until then the hook is not there, though its
 * probe is. */
#pragma once

#define MOST_SHARED 64
#define SYMBOL_LEN  64

/* The functions, by address, as numbers that entries and returns have in common. No
 * program writes there, and when the reader has frozen it nobody does. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, MOST_SHARED);
	__type(key, __u64);
	__type(value, __u32);
} functions SEC(".maps");

struct shared_programs {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MOST_SHARED);
	__type(key, __u32);
	__type(value, __u32);
};

struct shared_programs entries SEC(".maps");
struct shared_programs returns SEC(".maps");

/* How often there was no program to go on as, by the function's number: either the reader
 * has not put it in, or somebody has taken it out. */
struct absent {
	__u64 entries, returns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MOST_SHARED);
	__type(key, __u32);
	__type(value, struct absent);
} absents SEC(".maps");

/* The address is that of the function, in a kretprobe's program too, from 5.15 (commit
 * 9ffd9f3ff719). Only functions that have a number are probed: should another turn up,
 * something is lost. */
static __always_inline struct absent *go_on(struct pt_regs *ctx, void *programs)
{
	__u64 address = bpf_get_func_ip(ctx);
	__u32 *function = bpf_map_lookup_elem(&functions, &address);
	struct loss *l;
	__u32 number;

	if (!function) {
		lose(0, false);
		return 0;
	}
	number = *function;
	bpf_tail_call(ctx, programs, number);
	l = own_loss();
	if (l)
		__sync_fetch_and_add(&l->absent, 1);
	return bpf_map_lookup_elem(&absents, &number); /* nobody comes back from a tail call */
}

SEC("kprobe") int shared_entries(struct pt_regs *ctx)
{
	struct absent *missing = go_on(ctx, &entries);

	if (missing)
		__sync_fetch_and_add(&missing->entries, 1);
	return 0;
}

SEC("kretprobe") int shared_returns(struct pt_regs *ctx)
{
	struct absent *missing = go_on(ctx, &returns);

	if (missing)
		__sync_fetch_and_add(&missing->returns, 1);
	return 0;
}

/* What the reader wants to know the address of. */
struct symbol {
	__u64 address;
	__u8 name[SYMBOL_LEN];
};

/* Run by the reader, once for each function, from 5.16 (commit d6aef08a872b). To read the
 * kernel's list of symbols takes longer than all else that the reader does. */
SEC("syscall") int find_symbol(struct symbol *ctx)
{
	char name[SYMBOL_LEN];
	__u64 address = 0;
	long err;

	for (int i = 0; i < SYMBOL_LEN; i++)
		name[i] = ctx->name[i];
	err = bpf_kallsyms_lookup_name(name, sizeof(name), 0, &address);
	ctx->address = address;
	return err;
}
