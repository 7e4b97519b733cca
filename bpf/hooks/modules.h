/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The module itself: complete, initialized, freed. */
#pragma once

/* The areas of a module's memory, in the kernel's order (enum mod_mem_type, from 6.4). */
enum area {
	MOD_TEXT,
	MOD_DATA,
	MOD_RODATA,
	MOD_RO_AFTER_INIT,
	MOD_INIT_TEXT,
	MOD_INIT_DATA,
	MOD_INIT_RODATA,
};

/* read_layout: until 6.3 two layouts; from 6.4 seven areas, of which the last
 * three are freed after the init. */
static __always_inline void read_layout(struct module_event *e, struct module *mod)
{
	struct module___6_4 *new = (void *)mod;
	struct module___5_10 *old = (void *)mod;

	if (bpf_core_field_exists(new->mem)) {
		e->address = (__u64)BPF_CORE_READ(new, mem[MOD_TEXT].base);
		e->init_address = (__u64)BPF_CORE_READ(new, mem[MOD_INIT_TEXT].base);
		e->size = BPF_CORE_READ(new, mem[MOD_TEXT].size) + BPF_CORE_READ(new, mem[MOD_DATA].size) +
			  BPF_CORE_READ(new, mem[MOD_RODATA].size) + BPF_CORE_READ(new, mem[MOD_RO_AFTER_INIT].size);
		e->init_size = BPF_CORE_READ(new, mem[MOD_INIT_TEXT].size) + BPF_CORE_READ(new, mem[MOD_INIT_DATA].size) +
			       BPF_CORE_READ(new, mem[MOD_INIT_RODATA].size);
	} else if (bpf_core_field_exists(old->core_layout)) {
		e->address = (__u64)BPF_CORE_READ(old, core_layout.base);
		e->init_address = (__u64)BPF_CORE_READ(old, init_layout.base);
		e->size = BPF_CORE_READ(old, core_layout.size);
		e->init_size = BPF_CORE_READ(old, init_layout.size);
	}
}

/* read_signature: sig_ok exists only with CONFIG_MODULE_SIG. */
static __always_inline void read_signature(struct module_event *e, struct module *mod)
{
	if (!bpf_core_field_exists(mod->sig_ok))
		return;
	e->h.flags |= FLAG_HAS_SIG;
	if (BPF_CORE_READ(mod, sig_ok))
		e->h.flags |= FLAG_SIGNED;
}

/* send_module reports a module as it is now. Only for hooks that run while the
 * structure is certainly there: before the init, or before the free. */
static __always_inline int send_module(enum kind kind, struct module *mod)
{
	struct attempt *a = current_attempt();
	struct module_event *e = reserve(struct module_event, is_limited(a));

	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, kind, a);
	e->module = (__u64)mod;
	e->address = e->init_address = 0;
	e->size = e->init_size = e->unused = 0;
	e->taints = BPF_CORE_READ(mod, taints);
	e->state = BPF_CORE_READ(mod, state);
	e->name[0] = e->version[0] = e->srcversion[0] = 0;
	BPF_CORE_READ_STR_INTO(&e->name, mod, name);
	bpf_probe_read_kernel_str(e->version, sizeof(e->version), BPF_CORE_READ(mod, version));
	bpf_probe_read_kernel_str(e->srcversion, sizeof(e->srcversion),
				  BPF_CORE_READ(mod, srcversion));
	read_layout(e, mod);
	read_signature(e, mod);
	submit(e, a);
	return 0;
}

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
