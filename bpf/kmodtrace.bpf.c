// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The hooks. Each states what it saw; what it means is decided by the reader.
 * Above each, why this place. All run in the context of the thread that loads,
 * unloads or asks. */
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
#include "loop.h"
#include "ring.h"
#include "budget.h"
#include "shared.h"
#include "request.h"
#include "site.h"
#include "hook.h"
#include "module.h"
#include "file.h"
#include "actor.h"
#include "due.h"
#include "image.h"
#include "lookup.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the reader's types are generated from the wire format. */
const enum kind *unused_kind __attribute__((unused));
const enum call *unused_call __attribute__((unused));
const enum stage *unused_stage __attribute__((unused));
const enum flag *unused_flag __attribute__((unused));
const struct header *unused_header __attribute__((unused));
const struct loss *unused_loss __attribute__((unused));
const struct enter_event *unused_enter __attribute__((unused));
const struct return_event *unused_return __attribute__((unused));
const struct stage_event *unused_stage_event __attribute__((unused));
const struct actor_event *unused_actor __attribute__((unused));
const struct process *unused_process __attribute__((unused));
const struct kin_event *unused_kin __attribute__((unused));
const struct process_event *unused_process_event __attribute__((unused));
const enum trait *unused_trait __attribute__((unused));
const struct file_facts *unused_file_facts __attribute__((unused));
const struct file_event *unused_file __attribute__((unused));
const enum door *unused_door __attribute__((unused));
const struct image_event *unused_image __attribute__((unused));
const struct denied_event *unused_denied __attribute__((unused));
const struct lookup_event *unused_lookup __attribute__((unused));
const struct format_event *unused_format __attribute__((unused));
const struct module_event *unused_module __attribute__((unused));
const struct request_event *unused_request __attribute__((unused));
const struct params_event *unused_params __attribute__((unused));
const struct text_event *unused_text __attribute__((unused));
const struct symbol *unused_symbol __attribute__((unused));
const enum fold *unused_fold __attribute__((unused));

/* ---- the three system calls ----
 * Their own functions, not the syscall tracepoints: those make every system
 * call of the machine slower, even with a filter. Each table entry has its
 * function: a tracer of only the 64-bit ones is passed by with `int 0x80`. */

static __always_inline struct attempt *begin(enum call call, bool limited)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct attempt fresh = { .id = bpf_ktime_get_boot_ns(), .call = call, .limited = limited };

	if (!bpf_map_update_elem(&attempts, &tid, &fresh, BPF_ANY))
		return bpf_map_lookup_elem(&attempts, &tid);
	return 0;
}

static __always_inline void untracked(void)
{
	struct loss *l = own_loss();

	if (l)
		__sync_fetch_and_add(&l->untracked, 1);
}

/* may_load: the capability that the three calls ask for first, and only count
 * in the first user namespace. */
static __always_inline bool may_load(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);
	__u64 effective = 0;

	if (BPF_CORE_READ(cred, user_ns, level))
		return false;
	bpf_probe_read_kernel(&effective, sizeof(effective), &cred->cap_effective);
	return effective & (1ULL << CAP_SYS_MODULE);
}

/* The text is the caller's word: another thread may rewrite it before the
 * kernel reads it. What the kernel used comes with parse_args and the module. */
static __always_inline int send_enter(struct attempt *a, enum call call, bool compat, __s32 fd,
				      __u64 size, __u64 text, __u32 flags, __u32 room, bool limited)
{
	struct enter_event *e = reserve_text(struct enter_event, text, room, is_limited(a));
	long n;

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_ENTER, a);
	if (a)
		e->h.time = a->id;
	e->h.flags = FLAG_CLAIMED | (compat ? FLAG_COMPAT : 0) | (limited ? 0 : FLAG_CAPABLE);
	e->call = call;
	e->fd = fd;
	e->size = size;
	e->flags = flags;
	e->text[0] = 0;
	n = bpf_probe_read_user_str(e->text, room, (void *)text);
	if (n < 0)
		e->h.flags |= FLAG_UNREADABLE;
	else if (n == room)
		e->h.flags |= FLAG_CUT;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* An attempt of the same thread whose end was missed must not get this one's return. */
static __always_inline int fold_call(enum call call, bool behind)
{
	__u32 tid = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&attempts, &tid);
	return fold((enum fold)call, behind);
}

/* enter tells whether the actor is due. */
static __always_inline bool enter(enum call call, bool compat, __s32 fd, __u64 size, __u64 text,
				  __u32 flags)
{
	bool limited = !may_load();
	enum afford afford = limited ? affordable(BUDGET_CALLS) : AFFORDABLE;
	struct attempt *a = 0;
	char start[SHORT_TEXT];
	struct file *file;

	if (afford == AFFORDABLE)
		a = begin(call, limited);
	if (!a && limited) {
		fold_call(call, afford == READER_BEHIND);
		return false;
	}
	if (!a)
		untracked();
	if (bpf_probe_read_user_str(start, sizeof(start), (void *)text) < (long)sizeof(start))
		send_enter(a, call, compat, fd, size, text, flags, SHORT_TEXT, limited);
	else
		send_enter(a, call, compat, fd, size, text, flags,
			   sizeof(((struct enter_event *)0)->text), limited);
	if (call == CALL_FINIT_MODULE) {
		file = file_of(fd);
		if (file)
			send_file(a, file, FLAG_CLAIMED);
	}
	if (!a)
		return false;
	a->due = 1;
	return true;
}

static __always_inline bool enter_finit_module(struct pt_regs *regs)
{
	return enter(CALL_FINIT_MODULE, syscall_compat(regs), syscall_arg1(regs), 0,
		     syscall_arg2(regs), syscall_arg3(regs));
}
ENTRY_THEN_ACTOR(finit_module, SYSCALL("finit_module"), enter_finit_module)

static __always_inline bool enter_init_module(struct pt_regs *regs)
{
	return enter(CALL_INIT_MODULE, syscall_compat(regs), -1, syscall_arg2(regs),
		     syscall_arg3(regs), 0);
}
ENTRY_THEN_ACTOR(init_module, SYSCALL("init_module"), enter_init_module)

static __always_inline bool enter_delete_module(struct pt_regs *regs)
{
	return enter(CALL_DELETE_MODULE, syscall_compat(regs), -1, 0, syscall_arg1(regs),
		     syscall_arg2(regs));
}
ENTRY_THEN_ACTOR(delete_module, SYSCALL("delete_module"), enter_delete_module)

static __always_inline int send_end(struct attempt *a, enum kind kind, enum call call, int ret)
{
	struct return_event *e = reserve(struct return_event, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, kind, a);
	e->ret = ret;
	e->call = call;
	e->lost = a ? a->lost : 0;
	e->symbols = a ? a->symbols : 0;
	e->unused = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* The return ends the attempt, whatever became of it. It is reported for a
 * thread that is not in flight too: there was no room for it. Not so for a refusal for
 * want of the capability: that is how a call returns which was counted at its entry. Any
 * other return of a thread that may not load is told: there should be none. */
static __always_inline int leave(enum call call, int ret)
{
	struct attempt *a = current_attempt();
	__u32 tid = bpf_get_current_pid_tgid();

	/* The end of that one was missed, and the beginning of this one too. */
	if (a && a->call != call) {
		bpf_map_delete_elem(&attempts, &tid);
		a = 0;
	}
	if (!a && ret == -EPERM && !may_load())
		return 0;
	send_end(a, KIND_LEAVE, call, ret);
	if (a)
		bpf_map_delete_elem(&attempts, &tid);
	return 0;
}

static __always_inline int leave_finit_module(int ret)
{
	return leave(CALL_FINIT_MODULE, ret);
}
SLEEPER(finit_module, SYSCALL("finit_module"), leave_finit_module)

static __always_inline int leave_init_module(int ret)
{
	return leave(CALL_INIT_MODULE, ret);
}
SLEEPER(init_module, SYSCALL("init_module"), leave_init_module)

static __always_inline int leave_delete_module(int ret)
{
	return leave(CALL_DELETE_MODULE, ret);
}
SLEEPER(delete_module, SYSCALL("delete_module"), leave_delete_module)

#if defined(__TARGET_ARCH_x86)
static __always_inline bool enter_finit_module32(struct pt_regs *regs)
{
	return enter(CALL_FINIT_MODULE, true, syscall32_arg1(regs), 0, syscall32_arg2(regs),
		     syscall32_arg3(regs));
}
ENTRY_THEN_ACTOR(finit_module32, "__ia32_sys_finit_module", enter_finit_module32)

static __always_inline bool enter_init_module32(struct pt_regs *regs)
{
	return enter(CALL_INIT_MODULE, true, -1, syscall32_arg2(regs), syscall32_arg3(regs), 0);
}
ENTRY_THEN_ACTOR(init_module32, "__ia32_sys_init_module", enter_init_module32)

static __always_inline bool enter_delete_module32(struct pt_regs *regs)
{
	return enter(CALL_DELETE_MODULE, true, -1, 0, syscall32_arg1(regs), syscall32_arg2(regs));
}
ENTRY_THEN_ACTOR(delete_module32, "__ia32_sys_delete_module", enter_delete_module32)

SLEEPER(finit_module32, "__ia32_sys_finit_module", leave_finit_module)
SLEEPER(init_module32, "__ia32_sys_init_module", leave_init_module)
SLEEPER(delete_module32, "__ia32_sys_delete_module", leave_delete_module)
#endif

/* A thread that the kernel kills for a fault never returns from its system
 * call. do_exit would tell too, but fires for every exit of the machine. */
static __always_inline int died(void *signal)
{
	struct attempt *a = current_attempt();
	__u32 tid = bpf_get_current_pid_tgid();

	if (!a)
		return 0;
	send_end(a, KIND_DIED, a->call, (int)(long)signal);
	bpf_map_delete_elem(&attempts, &tid);
	return 0;
}
ENTRY(make_task_dead, "make_task_dead", died)

/* ---- which file ----
 * The struct file that the kernel resolved, not the descriptor that the caller
 * named. security_kernel_read_file also serves firmware, kexec and policies:
 * outside a load it returns at once. */

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
	bpf_ringbuf_submit(e, 0);
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
	bpf_ringbuf_submit(e, 0);
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

/* ---- is there one of that name? ----
 * Asked by delete_module for the module to unload, and by a load for one that is
 * in its way: the name as the kernel has it, long before parse_args, and what
 * it found, at the moment and under the lock of the decision. The name's memory
 * is the caller's, and still there at the return. */
static __always_inline int lookup(void *name)
{
	struct attempt *a = current_attempt();

	if (a)
		a->sought = (__u64)name;
	return 0;
}
ENTRY(find_module_all, "find_module_all", lookup)

static __always_inline int looked_up(__u64 found)
{
	struct attempt *a = current_attempt();

	return a ? send_lookup(a, (struct module *)found) : 0;
}
RETURN(find_module_all, "find_module_all", 3, looked_up)

/* ---- the stages ----
 * Each first call inside a load begins a stage. resolve_symbol and the
 * relocation run hundreds of times in one load and report the first only. */

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
	bpf_ringbuf_submit(e, 0);
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

/* ---- the module ---- */

/* Fires when the module is complete and before its init runs: facts about the
 * module, not about the outcome. */
SEC("raw_tracepoint/module_load") int tracepoint_module_load(struct bpf_raw_tracepoint_args *ctx)
{
	struct attempt *a = current_attempt();

	if (a)
		a->told |= TOLD_MODULE_LOAD;
	return send_module(KIND_MODULE_LOAD, (void *)ctx->args[0]);
}

/* The module is formed and its init is about to run. A kprobe in every mode, for it
 * backs up the tracepoint, as call_usermodehelper_exec does for requests: the module
 * is the same as there. Outside an attempt that cannot be known, and is not needed:
 * what is sent here says the same. */
SEC("kprobe/do_init_module") int kprobe_do_init_module(struct pt_regs *ctx)
{
	struct attempt *a = current_attempt();
	void *module = (void *)PT_REGS_PARM1(ctx);

	if (a && !(a->told & TOLD_MODULE_LOAD))
		send_module(KIND_MODULE_LOAD, module);
	if (a)
		stage_begins(a, STAGE_INIT);
	return send_module(KIND_INIT, module);
}

/* After a failed init struct module is already gone here: only the result. */
static __always_inline int init_returned(int ret)
{
	return returned(KIND_INIT_RETURN, ret, false);
}
SLEEPER(do_init_module, "do_init_module", init_returned)

/* The module's own init; after boot nothing but modules comes through here. */
static __always_inline int initcall_returned(int ret)
{
	return current_attempt() ? returned(KIND_INITCALL, ret, false) : 0;
}
SLEEPER(do_one_initcall, "do_one_initcall", initcall_returned)

/* A module's memory goes: after its exit, and after an init that failed too.
 * A kprobe in every mode. */
SEC("kprobe/free_module") int kprobe_free_module(struct pt_regs *ctx)
{
	return send_module(KIND_FREE, (void *)PT_REGS_PARM1(ctx));
}

/* The same from the tracepoint, which tells also where the function cannot be
 * probed. */
SEC("raw_tracepoint/module_free") int tracepoint_module_free(struct bpf_raw_tracepoint_args *ctx)
{
	return send_module(KIND_MODULE_FREE, (void *)ctx->args[0]);
}

/* ---- requests ----
 * __request_module takes variable arguments, which trampolines refuse. It asks
 * the security modules, then fires the tracepoint, then starts the helper; where
 * it gives up before the tracepoint, only its own return tells. */

SEC("kprobe/__request_module") int kprobe_request_module(struct pt_regs *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct request r = {
		.wait = PT_REGS_PARM1(ctx) & 1,
		.format = PT_REGS_PARM2(ctx),
		.arg = { PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx) },
		.limited = !may_load(),
	};
	long err;

	read_caller(r.site, ctx);
	if (r.limited)
		err = bpf_map_update_elem(&limited_requests, &tid, &r, BPF_ANY);
	else
		err = bpf_map_update_elem(&requests, &tid, &r, BPF_ANY);
	if (err)
		untracked();
	return 0;
}

/* line_of_request: over the budget, or while the reader is behind, who asks is told all the
 * same, for a load may come of it, but not below whom. There are never more of those than
 * the machine can start helpers. */
static __always_inline __u32 line_of_request(bool limited)
{
	if (!limited)
		return 0;
	switch (affordable(BUDGET_REQUESTS)) {
	case AFFORDABLE:
		return LINE_LIMITED;
	case READER_BEHIND:
		return LINE_LIMITED | LINE_CUT | LINE_BEHIND;
	default:
		return LINE_LIMITED | LINE_CUT;
	}
}

/* send_request tells whether the actor is due, of whom and how much. */
static __always_inline bool send_request(struct request *r, void *name, __u64 site, __u16 flags, __u64 *of,
					 __u32 *line)
{
	struct attempt *a = current_attempt();
	bool limited = r ? r->limited : !may_load();
	__u64 now = bpf_ktime_get_boot_ns();
	struct request_event *e;
	long n;

	*line = line_of_request(limited);
	*of = now;
	if (r)
		r->id = now;
	/* Nothing comes of what is refused: then there is nobody to tell a load of. */
	if (flags & FLAG_DENIED && *line & LINE_CUT && r) {
		r->folded = 1;
		fold(FOLD_REQUEST, *line & LINE_BEHIND);
		return false;
	}
	e = reserve(struct request_event, limited);
	if (!e) {
		lose(a, limited);
		return false;
	}
	stamp(&e->h, KIND_REQUEST, a);
	e->h.time = now; /* names the request */
	e->h.flags = flags | (limited ? FLAG_LIMITED : 0);
	e->name[0] = 0;
	n = bpf_probe_read_kernel_str(e->name, sizeof(e->name), name);
	if (n == sizeof(e->name))
		e->h.flags |= FLAG_CUT;
	/* While a kretprobe is on the function, the kernel's own word for where it was
	 * called is that one's trampoline. Ours was read before. */
	e->site = r ? r->site : site;
	name_site(e->symbol, e->site);
	bpf_ringbuf_submit(e, 0);
	return true;
}

/* In the thread whose need made the kernel ask, and before the helper starts: the
 * formatted name, also where no helper comes of it. */
SEC("raw_tracepoint/module_request") int
tracepoint_module_request(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 line;
	__u64 of;

	if (!send_request(current_request(), (void *)ctx->args[0], ctx->args[2],
			  ctx->args[1] & 1 ? FLAG_WAIT : 0, &of, &line))
		return 0;
	return send_actor(current_attempt(), of, line);
}

/* A security module can refuse the request; then there is no tracepoint. */
static __always_inline int ask_security(void *name)
{
	struct request *r = current_request();

	if (r)
		r->name = (__u64)name;
	return 0;
}
ENTRY(security_kernel_module_request, "security_kernel_module_request", ask_security)

/* ask tells of a request by what is known of it, and whether the actor is due. */
static __always_inline bool ask(struct request *r, void *name, __u16 flags)
{
	__u64 of;

	r->due = send_request(r, name, r->site, flags | (r->wait ? FLAG_WAIT : 0), &of, &r->line);
	return r->due;
}

static __always_inline bool security_answered(int ret)
{
	struct request *r = current_request();

	return ret && r && ask(r, (void *)r->name, FLAG_DENIED);
}
RETURN_THEN_ACTOR(security_kernel_module_request, "security_kernel_module_request", 1, security_answered)

/* The same thread hands the helper to a worker, by a pointer; the new task has
 * the same one. Other users of helpers (core dumps, cgroup release) are in no
 * request.
 *
 * A kprobe in every mode, like the one on __request_module, for it backs up the
 * tracepoint: a kernel that preempts itself runs that one's program with preemption
 * on (7.2, measured), and skips it for a second requester that preempts a first one
 * inside it. The helper's arguments are modprobe -q -- NAME. */
SEC("kprobe/call_usermodehelper_exec") int kprobe_call_usermodehelper_exec(struct pt_regs *ctx)
{
	struct subprocess_info *info = (void *)PT_REGS_PARM1(ctx);
	struct request *r = current_request();
	__u64 key = (__u64)info;
	char **argv, *name = 0;
	bool due = false;

	if (!r)
		return 0;
	if (!r->id) {
		argv = BPF_CORE_READ(info, argv);
		bpf_probe_read_kernel(&name, sizeof(name), &argv[3]);
		due = ask(r, name, 0);
	}
	bpf_map_update_elem(&starting, &key, &r->id, BPF_ANY);
	return due ? go_on_as_actor(ctx) : 0;
}

static __always_inline int helper_started(void *info)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 key = (__u64)info;
	__u64 *request = bpf_map_lookup_elem(&starting, &key);
	struct helper h = {};

	if (!request)
		return 0;
	h.request = *request;
	h.start = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_map_update_elem(&helpers, &pid, &h, BPF_ANY);
	bpf_map_delete_elem(&starting, &key);
	return 0;
}
ENTRY(call_usermodehelper_exec_async, "call_usermodehelper_exec_async", helper_started)

/* send_format tells whether the actor is due. */
static __always_inline bool send_format(struct request *r, int ret)
{
	struct attempt *a = current_attempt();
	bool limited = r->limited;
	struct format_event *e;

	r->line = line_of_request(limited);
	if (ret < 0 && r->line & LINE_CUT) {
		r->folded = 1;
		fold(FOLD_REQUEST, r->line & LINE_BEHIND);
		return false;
	}
	e = reserve(struct format_event, limited);
	if (!e) {
		lose(a, limited);
		return false;
	}
	stamp(&e->h, KIND_REQUEST_FORMAT, a);
	r->id = e->h.time; /* which names the request */
	e->h.flags = (r->wait ? FLAG_WAIT : 0) | (limited ? FLAG_LIMITED : 0);
	e->site = r->site;
	name_site(e->symbol, e->site);
	e->format[0] = 0;
	bpf_probe_read_kernel_str(e->format, sizeof(e->format), (void *)r->format);
	for (int i = 0; i < FORMAT_ARGS; i++) {
		e->arg[i] = r->arg[i];
		e->text[i][0] = 0;
		bpf_probe_read_kernel_str(e->text[i], sizeof(e->text[i]), (void *)r->arg[i]);
	}
	bpf_ringbuf_submit(e, 0);
	r->due = 1;
	return true;
}

/* The reader takes a request for ended at its return: who made it must be told before. */
SEC("kretprobe/__request_module") int kretprobe_request_module(struct pt_regs *ctx)
{
	struct request *r = current_request();
	__u64 ret = PT_REGS_RC(ctx);

	barrier_var(ret); /* or it is read again by way of a pointer that the verifier refuses */
	if (!r)
		return 0;
	if (r->id || !send_format(r, ret))
		return end_request(r, ret);
	r->ret = ret;
	r->over = 1;
	return go_on_as_actor(ctx);
}

/* ---- messages ---- */

static __always_inline int send_text(struct attempt *a, __u64 record, void *text, __u64 len, __u32 room)
{
	struct text_event *e = reserve_text(struct text_event, text, room, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_MESSAGE, a);
	e->unused = 0;
	e->record = record;
	e->length = len;
	barrier_var(len); /* or the compiler leaves the bound to the caller's own check */
	if (len > room) {
		e->h.flags |= FLAG_CUT;
		len = room;
	}
	barrier_var(len); /* or the bound ends up on a copy that the verifier cannot follow */
	bpf_probe_read_kernel(e->text, len, text);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline int send_message(struct attempt *a, __u64 record, void *text, __u64 len)
{
	if (len <= SHORT_TEXT)
		return send_text(a, record, text, len, SHORT_TEXT);
	return send_text(a, record, text, len, TEXT_LEN);
}

/* From 6.1 at the latest this fires when the text is stored, in the thread that
 * printed it. 5.10 fires it when a console is written, perhaps by another
 * thread, and not for levels that the console hides: see below. */
SEC("raw_tracepoint/console") int tracepoint_console(struct bpf_raw_tracepoint_args *ctx)
{
	struct attempt *a = current_attempt();

	return a ? send_message(a, 0, (void *)ctx->args[0], ctx->args[1]) : 0;
}

/* Until then: the printing thread has just stored its text in the log. A text
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
	return send_message(a, BPF_CORE_READ(entry, id), data + sizeof(unsigned long),
			    BPF_CORE_READ(infos, text_len));
}
ENTRY(prb_commit, "prb_commit", log_committed)
ENTRY(prb_final_commit, "prb_final_commit", log_committed)

/* ---- what switches hooks off ----
 * Root can do so for a moment, and nothing would show it afterwards. The file is there
 * for that alone (debugfs: kprobes/enabled), and its hook runs before it is done. Of
 * ftrace (kernel.ftrace_enabled) no function can be probed: the reader looks at it. */

COUNTERS(switched_off, 1, __u64);

SEC("kprobe/write_enabled_file_bool") int kprobe_write_enabled_file_bool(struct pt_regs *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&switched_off, &zero);
	char word = 0;

	/* What the kernel takes for yes (kstrtobool), but "on". */
	bpf_probe_read_user(&word, sizeof(word), (void *)PT_REGS_PARM2(ctx));
	if (word == '1' || word == 'y' || word == 'Y' || word == 't' || word == 'T')
		return 0;
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
