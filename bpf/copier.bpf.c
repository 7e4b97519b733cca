// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The bytes that the kernel makes a module of. They are much more than all events together,
 * so they are in an object of their own, loaded only for who wants them, and have a ring of
 * their own, so that no event is lost because of them. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <asm-generic/errno-base.h>
#include <linux/capability.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "event.h"
#include "ring.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PART_LEN   (32 << 10)
#define MOST_PARTS 128

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} images SEC(".maps");

enum part_state {
	PART_BYTES,	 /* bytes follow */
	PART_TOO_LARGE,	 /* the image is larger than MOST_PARTS parts */
	PART_NO_ROOM,	 /* in the ring */
	PART_UNREADABLE, /* the kernel did not let its memory be read */
};

struct part {
	__u64 attempt;
	__u64 size;   /* of the image */
	__u32 offset; /* in it */
	__u32 length;
	__u32 state; /* enum part_state */
	__u32 unused;
};
_Static_assert(sizeof(struct part) == 32, "wire format");

struct whole_part {
	struct part part;
	__u8 bytes[PART_LEN];
};

/* So that the reader's types are generated from the wire format. */
const enum part_state *unused_part_state __attribute__((unused));
const struct part *unused_part __attribute__((unused));

static __always_inline void fill_part(struct part *p, __u64 attempt, __u64 size, __u32 offset,
				      enum part_state state)
{
	p->attempt = attempt;
	p->size = size;
	p->offset = offset;
	p->length = 0;
	p->state = state;
	p->unused = 0;
}

/* end_image says why no more of an image follows. Where there is no room for that either,
 * its end is missing. */
static __always_inline int end_image(__u64 attempt, __u64 size, enum part_state state)
{
	struct part *p = bpf_ringbuf_reserve(&images, sizeof(*p), 0);

	if (!p)
		return 0;
	fill_part(p, attempt, size, 0, state);
	bpf_ringbuf_submit(p, 0);
	return 0;
}

/* has_room looks before the first part: what cannot come whole takes no room from others. */
static __always_inline bool has_room(__u64 size)
{
	__u64 room = bpf_ringbuf_query(&images, BPF_RB_RING_SIZE) -
		     bpf_ringbuf_query(&images, BPF_RB_AVAIL_DATA);
	__u64 parts = (size + PART_LEN - 1) / PART_LEN;

	/* The kernel keeps 8 bytes beside each, and one position free. */
	return parts * (sizeof(struct whole_part) + 8) < room;
}

/* send_part sends the part of an image at an offset, and tells whether there was room. A global
 * function is verified once, and not in each round of its caller's loop: 6.1 gives up on that. */
__noinline int send_part(__u64 attempt, __u64 size, __u64 bytes, __u32 offset)
{
	struct whole_part *w = bpf_ringbuf_reserve(&images, sizeof(*w), 0);
	__u64 length = size - offset;

	if (!w)
		return 0;
	fill_part(&w->part, attempt, size, offset, PART_BYTES);
	barrier_var(length);
	if (length > PART_LEN)
		length = PART_LEN;
	barrier_var(length);
	w->part.length = length;
	if (bpf_probe_read_kernel(w->bytes, length, (void *)(bytes + offset)))
		w->part.state = PART_UNREADABLE;
	bpf_ringbuf_submit(w, 0);
	return 1;
}

/* At the entry of load_module, which is the first to change the bytes and what the event
 * image is of: the kernel's own copy, decompressed where it does that. A kprobe in every
 * mode: it runs for loads only, and a program that takes milliseconds should not hold up a
 * trampoline. */
SEC("kprobe/load_module") int copy_image(struct pt_regs *ctx)
{
	struct load_info *info = (void *)PT_REGS_PARM1(ctx);
	struct attempt *a = current_attempt();
	__u64 size, bytes, attempt;

	if (!a)
		return 0;
	attempt = a->id;
	size = BPF_CORE_READ(info, len);
	bytes = (__u64)BPF_CORE_READ(info, hdr);
	if (size > (__u64)MOST_PARTS * PART_LEN)
		return end_image(attempt, size, PART_TOO_LARGE);
	if (!has_room(size))
		return end_image(attempt, size, PART_NO_ROOM);
	for (__u32 i = 0; i < MOST_PARTS && (__u64)i * PART_LEN < size; i++) {
		if (!send_part(attempt, size, bytes, i * PART_LEN))
			return end_image(attempt, size, PART_NO_ROOM);
	}
	return 0;
}
