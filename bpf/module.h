/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reading struct module: one helper for each difference between kernels. */
#pragma once

/* read_layout: until 6.3 two layouts; from 6.4 seven areas, of which the last
 * three (MOD_INIT_TEXT, MOD_INIT_DATA, MOD_INIT_RODATA) are freed after the
 * init. */
static __always_inline void read_layout(struct module_event *e, struct module *mod)
{
	struct module___6_4 *new = (void *)mod;
	struct module___5_10 *old = (void *)mod;

	if (bpf_core_field_exists(new->mem)) {
		e->address = (__u64)BPF_CORE_READ(new, mem[0].base);
		e->init_address = (__u64)BPF_CORE_READ(new, mem[4].base);
		e->size = BPF_CORE_READ(new, mem[0].size) + BPF_CORE_READ(new, mem[1].size) +
			  BPF_CORE_READ(new, mem[2].size) + BPF_CORE_READ(new, mem[3].size);
		e->init_size = BPF_CORE_READ(new, mem[4].size) + BPF_CORE_READ(new, mem[5].size) +
			       BPF_CORE_READ(new, mem[6].size);
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
	bpf_ringbuf_submit(e, 0);
	return 0;
}
