/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which file a load is of, and what security modules say of its bytes.
 *
 * The struct file that the kernel resolved, not the descriptor that the caller
 * named. security_kernel_read_file also serves firmware, kexec and policies:
 * outside a load it returns at once. */
#pragma once

static __always_inline int stage_begins(struct attempt *a, enum stage stage)
{
	struct stage_event *e;

	if (a->stages & (1 << stage))
		return 0;
	a->stages |= 1 << stage;
	e = reserve(struct stage_event, is_limited(a));
	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_STAGE, a);
	e->stage = stage;
	e->symbols = a->symbols;
	submit(e, a);
	return 0;
}

static __always_inline int use_file(struct attempt *a, struct file *file)
{
	if (a->file == (__u64)file)
		return 0;
	a->file = (__u64)file;
	return send_file(a, file, 0);
}

static __always_inline int read_file(struct file *file)
{
	struct attempt *a = current_attempt();

	if (!a || a->call != CALL_FINIT_MODULE)
		return 0;
	stage_begins(a, STAGE_READ);
	return use_file(a, file);
}
ENTRY(security_kernel_read_file, "security_kernel_read_file", read_file)

/* From 6.5 (commit 9b9879fc0327) loads of one inode at the same time run once,
 * and those that wait for the result read no file: here is theirs. */
static __always_inline int share_file(struct file *file)
{
	struct attempt *a = current_attempt();

	return a ? use_file(a, file) : 0;
}
ENTRY(idempotent_init_module, "idempotent_init_module", share_file)

/* init_module has no file; its copy from user memory begins here. */
static __always_inline int load_data(void)
{
	struct attempt *a = current_attempt();

	return a && a->call == CALL_INIT_MODULE ? stage_begins(a, STAGE_READ) : 0;
}
ENTRY0(security_kernel_load_data, "security_kernel_load_data", load_data)

/* What a security module says about the bytes, IMA among them. It may refuse by
 * any errno, and nothing need be printed. */
static __always_inline int security_said(enum door door, int ret)
{
	struct attempt *a = current_attempt();
	struct denied_event *e;

	if (!a || !ret)
		return 0;
	e = reserve(struct denied_event, is_limited(a));
	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_DENIED, a);
	e->ret = ret;
	e->door = door;
	submit(e, a);
	return 0;
}

#define SECURITY(fn, nargs, door)                             \
	static __always_inline int said_##fn(int ret)         \
	{                                                     \
		return security_said(door, ret);              \
	}                                                     \
	RETURN(fn, #fn, nargs, said_##fn)

SECURITY(security_kernel_read_file, 3, DOOR_READ_FILE)
SECURITY(security_kernel_post_read_file, 4, DOOR_POST_READ_FILE)
SECURITY(security_kernel_load_data, 2, DOOR_LOAD_DATA)
SECURITY(security_kernel_post_load_data, 4, DOOR_POST_LOAD_DATA)
