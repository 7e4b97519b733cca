/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The three system calls: where an attempt begins and ends.
 *
 * Their own functions, not the syscall tracepoints: those make every system
 * call of the machine slower, even with a filter. Each table entry has its
 * function: a tracer of only the 64-bit ones is passed by with `int 0x80`. */
#pragma once

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
	submit_and_wake(e);
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
	submit_and_wake(e);
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
