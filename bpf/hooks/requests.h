/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Requests for modules.
 *
 * __request_module takes variable arguments, which trampolines refuse. It asks
 * the security modules, then fires the tracepoint, then starts the helper; where
 * it gives up before the tracepoint, only its own return tells. */
#pragma once

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

/* line_of_request: over the budget, or while the reader is behind, only the process that
 * asks is reported, without its ancestors: a load may follow. There are never more of those
 * than helpers that the machine can start. */
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
	submit_and_wake(e);
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
	send_creators(of);
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

/* tell_helper tells which program the kernel starts, unless that is the usual one. */
static __always_inline void tell_helper(struct subprocess_info *info, struct request *r)
{
	union {
		char text[16];
		__u64 word[2];
	} usual = { "/sbin/modprobe" }, is = {};
	const char *path = BPF_CORE_READ(info, path);
	struct attempt *a = current_attempt();
	struct helper_event *e;

	bpf_probe_read_kernel_str(is.text, sizeof(is.text), path);
	if (is.word[0] == usual.word[0] && is.word[1] == usual.word[1])
		return;
	e = reserve(struct helper_event, r->limited);
	if (!e) {
		lose(a, r->limited);
		return;
	}
	stamp(&e->h, KIND_HELPER, a);
	e->path[0] = 0;
	bpf_probe_read_kernel_str(e->path, sizeof(e->path), path);
	submit(e, true);
}

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
	if (r->id && !r->folded)
		tell_helper(info, r);
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
	submit_and_wake(e);
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
