/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whether the kernel has a module of that name.
 *
 * Asked by delete_module for the module to unload, and by a load for one that is
 * in its way: the name as the kernel has it, long before parse_args, and what
 * it found, at the moment and under the lock of the decision. The name's memory
 * is the caller's, and still there at the return. */
#pragma once

/* A load that waits for another of its name looks again and again. */
#define MAX_LOOKUPS 4

/* read_holders lists the modules that depend on this one. */
static __always_inline void read_holders(struct lookup_event *e, struct module *mod)
{
	struct list_head *head = &mod->source_list;
	struct list_head *at = BPF_CORE_READ(head, next);

	for (int i = 0; i < HOLDERS; i++) {
		struct module_use *use;
		struct module *source;

		if (!at || at == head)
			return;
		use = (void *)at - bpf_core_field_offset(struct module_use, source_list);
		source = BPF_CORE_READ(use, source);
		bpf_probe_read_kernel_str(e->holder[i], NAME_LEN, &source->name);
		e->holders++;
		at = BPF_CORE_READ(at, next);
	}
	if (at && at != head)
		e->h.flags |= FLAG_CUT;
}

/* read_use: whether it can go, and who is in the way. */
static __always_inline void read_use(struct lookup_event *e, struct module *mod)
{
	if (BPF_CORE_READ(mod, init))
		e->h.flags |= FLAG_HAS_INIT;
	if (!bpf_core_field_exists(mod->refcnt))
		return;
	e->h.flags |= FLAG_HAS_REFS;
	if (BPF_CORE_READ(mod, exit))
		e->h.flags |= FLAG_HAS_EXIT;
	e->refs = BPF_CORE_READ(mod, refcnt.counter) - 1; /* MODULE_REF_BASE */
	read_holders(e, mod);
}

static __always_inline int send_lookup(struct attempt *a, struct module *mod)
{
	struct lookup_event *e;

	/* Once it runs, a module's own init may look others up. */
	if (!a->sought || a->lookups >= MAX_LOOKUPS || a->stages & (1 << STAGE_INIT))
		return 0;
	a->lookups++;
	e = reserve(struct lookup_event, is_limited(a));
	if (!e)
		return lose(a, is_limited(a));
	stamp(&e->h, KIND_LOOKUP, a);
	e->module = (__u64)mod;
	e->state = e->refs = e->holders = e->unused = 0;
	__builtin_memset(e->holder, 0, sizeof(e->holder));
	e->name[0] = 0;
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), (void *)a->sought);
	a->sought = 0;
	if (mod) {
		e->h.flags |= FLAG_FOUND;
		e->state = BPF_CORE_READ(mod, state);
		if (a->call == CALL_DELETE_MODULE)
			read_use(e, mod);
	}
	submit(e, a);
	return 0;
}

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
