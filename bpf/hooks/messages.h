/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel and the module print inside an attempt. */
#pragma once

static __always_inline int send_text(struct attempt *a, __u64 record, __u32 level, void *text, __u64 len,
				     __u32 room)
{
	struct text_event *e = reserve_text(struct text_event, text, room, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_MESSAGE, a);
	e->level = level;
	e->record = record;
	e->length = len;
	barrier_var(len); /* or the compiler leaves the bound to the caller's own check */
	if (len > room) {
		e->h.flags |= FLAG_CUT;
		len = room;
	}
	barrier_var(len); /* or the bound ends up on a copy that the verifier cannot follow */
	bpf_probe_read_kernel(e->text, len, text);
	submit_one_of_many(e);
	return 0;
}

static __always_inline int send_message(struct attempt *a, __u64 record, __u32 level, void *text, __u64 len)
{
	if (len <= SHORT_TEXT)
		return send_text(a, record, level, text, len, SHORT_TEXT);
	return send_text(a, record, level, text, len, TEXT_LEN);
}

/* The printing thread has just stored its text in the log, with its level. A text
 * without a newline is committed and can still grow; what grew is the same
 * record. A text that wraps round the end of the ring lies whole at its start. */
static __always_inline int log_committed(struct prb_reserved_entry *entry)
{
	struct attempt *a = current_attempt();
	struct printk_ringbuffer *rb;
	struct printk_info *infos;
	unsigned long begin, next, index, size;
	void *desc;
	char *data;

	if (!a)
		return 0;
	rb = BPF_CORE_READ(entry, rb);
	index = BPF_CORE_READ(entry, id) & ((1UL << BPF_CORE_READ(rb, desc_ring.count_bits)) - 1);
	desc = (void *)BPF_CORE_READ(rb, desc_ring.descs) +
	       index * bpf_core_type_size(struct prb_desc);
	infos = (void *)BPF_CORE_READ(rb, desc_ring.infos) +
		index * bpf_core_type_size(struct printk_info);
	begin = BPF_CORE_READ((struct prb_desc *)desc, text_blk_lpos.begin);
	next = BPF_CORE_READ((struct prb_desc *)desc, text_blk_lpos.next);
	size = BPF_CORE_READ(rb, text_data_ring.size_bits);
	data = BPF_CORE_READ(rb, text_data_ring.data);
	if (begin & 1) /* no text at all (FAILED_LPOS, NO_LPOS) */
		return 0;
	if (begin >> size == (next - 1) >> size)
		data += begin & ((1UL << size) - 1);
	return send_message(a, BPF_CORE_READ(entry, id), BPF_CORE_READ_BITFIELD_PROBED(infos, level) + 1,
			    data + sizeof(unsigned long), BPF_CORE_READ(infos, text_len));
}
ENTRY(prb_commit, "prb_commit", log_committed)
ENTRY(prb_final_commit, "prb_final_commit", log_committed)

/* Where a compiler has left no function to probe (LTO). From 6.1 at the latest this fires
 * when the text is stored, in the thread that printed it, before its level is. 5.10 fires it
 * when a console is written, perhaps by another thread, and not for levels that the console
 * hides. */
SEC("raw_tracepoint/console") int tracepoint_console(struct bpf_raw_tracepoint_args *ctx)
{
	struct attempt *a = current_attempt();

	return a ? send_message(a, 0, 0, (void *)ctx->args[0], ctx->args[1]) : 0;
}
