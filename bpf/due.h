/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The code that reports an actor is larger than the rest of a hook, and the verifier looks
 * at it in each program that has it. So the programs of probes end with a tail call to one
 * program that has it. Until then the actor is due. */
#pragma once

/* send_due reports the actor of the thread's request, or else of its attempt, and of that the
 * directory too: an attempt may make a request. It ends a request that is over. */
static __always_inline int send_due(void)
{
	struct attempt *a = current_attempt();
	struct request *r = current_request();
	__u32 line = 0;
	__u64 of;

	if (r && r->due) {
		r->due = 0;
		of = r->id;
		line = r->line;
		send_creators(of);
	} else if (a && a->due) {
		a->due = 0;
		of = a->id;
		if (a->limited)
			line = LINE_LIMITED;
		send_directory(of);
	} else {
		return 0;
	}
	send_actor(a, of, line);
	r = current_request();
	return r && r->over ? end_request(r, r->ret) : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} due_actor SEC(".maps");

SEC("kprobe") int tell_due(void *ctx)
{
	return send_due();
}

static __always_inline int go_on_as_actor(void *ctx)
{
	struct request *r;

	bpf_tail_call(ctx, &due_actor, 0);
	/* A tail call returns only if the map has no program. */
	r = current_request();
	if (r && r->over)
		end_request(r, r->ret);
	return lose(current_attempt(), false);
}
