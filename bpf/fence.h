/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A mark in the ring: when the reader comes to it, it has read all that was there before. */
#pragma once

/* Attached to nothing: the reader runs it (BPF_PROG_TEST_RUN, for raw tracepoints from 5.10,
 * commit 1b4d60ec162f), so that no system call for modules has to be made for it, which others
 * would record as somebody's. It runs in the thread that asks, and so tells the reader what the
 * kernel calls that: in a container, that is not what it calls itself. There is one ring for all
 * CPUs, whose records are in the order of their reservation: what a CPU reserved before is before. The argument is the number by which the reader knows it. */
SEC("raw_tracepoint/fence") int put_fence(struct bpf_raw_tracepoint_args *ctx)
{
	struct header *h = reserve(struct header, false);

	if (!h)
		return ENOSPC;
	stamp(h, KIND_FENCE, 0);
	h->attempt = ctx->args[0];
	submit_and_wake(h);
	return 0;
}
