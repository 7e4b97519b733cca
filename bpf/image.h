/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ends of the bytes that load_module works on: what kind of file it is, for
 * which machine, and whether a signature is appended. */
#pragma once

static __always_inline int send_image(struct attempt *a, struct load_info *info)
{
	struct image_event *e = reserve(struct image_event, is_limited(a));
	void *bytes;

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_IMAGE, a);
	e->size = BPF_CORE_READ(info, len);
	bytes = BPF_CORE_READ(info, hdr);
	__builtin_memset(e->head, 0, sizeof(e->head));
	__builtin_memset(e->tail, 0, sizeof(e->tail));
	/* A shorter image lies in a page of its own all the same. */
	bpf_probe_read_kernel(e->head, sizeof(e->head), bytes);
	if (e->size >= TAIL_LEN)
		bpf_probe_read_kernel(e->tail, sizeof(e->tail), bytes + e->size - TAIL_LEN);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
