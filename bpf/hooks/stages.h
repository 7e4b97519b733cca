/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The stages of a load.
 *
 * Each first call inside a load begins a stage. resolve_symbol and the
 * relocation run hundreds of times in one load and report the first only. */
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
	submit(e, a);
	return 0;
}

#define STAGE(fn, stage)                                          \
	static __always_inline int stage_##fn(void)               \
	{                                                         \
		struct attempt *a = current_attempt();            \
                                                                  \
		return a ? stage_begins(a, stage) : 0;            \
	}                                                         \
	ENTRY0(fn, #fn, stage_##fn)

STAGE(apply_relocate_add, STAGE_RELOCATE)
STAGE(module_finalize, STAGE_FINALIZE)
STAGE(mod_sysfs_setup, STAGE_SYSFS)

/* Whatever the system call, here are the bytes that the kernel will judge, in
 * its own copy: decompressed where it does that, signature included. */
static __always_inline int verify(struct load_info *info)
{
	struct attempt *a = current_attempt();

	if (!a)
		return 0;
	stage_begins(a, STAGE_VERIFY);
	return send_image(a, info);
}
ENTRY(load_module, "load_module", verify)

static __always_inline int resolve(void)
{
	struct attempt *a = current_attempt();

	if (!a)
		return 0;
	stage_begins(a, STAGE_RESOLVE);
	a->symbols++;
	return 0;
}
ENTRY0(resolve_symbol, "resolve_symbol", resolve)

static __always_inline int send_params(struct attempt *a, void *name, void *text, __u32 room)
{
	struct params_event *e = reserve_text(struct params_event, text, room, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_PARAMS, a);
	e->name[0] = e->text[0] = 0;
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), name);
	if (bpf_probe_read_kernel_str(e->text, room, text) == room)
		e->h.flags |= FLAG_CUT;
	submit(e, a);
	return 0;
}

/* The name and the parameters as the kernel has them; struct module lost them in 7.3. The
 * function has eight arguments, more than fentry of x86-64 carries before 6.6,
 * hence a kprobe in every mode. */
SEC("kprobe/parse_args") int kprobe_parse_args(struct pt_regs *ctx)
{
	struct attempt *a = current_attempt();
	void *name = (void *)PT_REGS_PARM1(ctx), *text = (void *)PT_REGS_PARM2(ctx);
	char start[SHORT_TEXT];

	if (!a)
		return 0;
	stage_begins(a, STAGE_PARAMS);
	if (bpf_probe_read_kernel_str(start, sizeof(start), text) < (long)sizeof(start))
		return send_params(a, name, text, SHORT_TEXT);
	return send_params(a, name, text, PARAMS_LEN);
}
