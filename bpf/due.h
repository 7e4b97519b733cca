/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who makes an attempt or a request takes more instructions to tell than all else, and the
 * verifier looks at them in each program that has them. So the programs of probes leave that
 * to one of theirs, by a tail call, as the last thing that they do: until then it is due. */
#pragma once

/* send_due reports who makes the thread's request, and ends that where it is over, or who
 * makes its attempt. An attempt may make a request. */
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
	} else if (a && a->due) {
		a->due = 0;
		of = a->id;
		if (a->limited)
			line = LINE_LIMITED;
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
	/* Nobody comes back, unless there was no program. */
	r = current_request();
	if (r && r->over)
		end_request(r, r->ret);
	return lose(current_attempt(), false);
}
