/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who refuses a complete module.
 *
 * load_module runs a chain of callbacks when the module is complete and before its
 * parameters are set; the first that gives an error ends the load. Only the chain's result
 * is to be had: notifier_call_chain cannot be probed, and other chains, which run all the
 * time, go through it too. The chain with a result for each (robust) is run for modules and
 * for suspending the machine. */
#pragma once

#define MOST_CALLBACKS 48

#define NOTIFY_OK	 1
#define NOTIFY_STOP_MASK 0x8000

/* To tell them apart, the chain is read after its run: a callback that refuses is on it. */
struct chain_walk {
	struct notifier_block *block;
	__u32 index;
	__s32 ret;
};

static __always_inline int run_chain(void *chain)
{
	struct attempt *a = current_attempt();

	if (a && !(a->stages & (1 << STAGE_INIT)))
		a->chain = (__u64)chain;
	return 0;
}
ENTRY(blocking_notifier_call_chain_robust, "blocking_notifier_call_chain_robust", run_chain)

static __always_inline bool send_callback(struct chain_walk *w)
{
	struct notifier_block *block = w->block;
	struct attempt *a = current_attempt();
	struct callback_event *e;

	if (!block)
		return true;
	w->block = BPF_CORE_READ(block, next);
	e = reserve(struct callback_event, is_limited(a));
	if (!e) {
		lose(a, is_limited(a));
		return true;
	}
	stamp(&e->h, KIND_CALLBACK, a);
	e->address = (__u64)BPF_CORE_READ(block, notifier_call);
	e->ret = w->ret;
	e->index = w->index++;
	if (e->index == MOST_CALLBACKS - 1 && w->block)
		e->h.flags |= FLAG_CUT;
	name_site(e->symbol, e->address + 1); /* %pB looks one byte before */
	submit(e, a);
	return false;
}
ROUND(send_callback)

static __always_inline int chain_returned(int ret)
{
	struct attempt *a = current_attempt();
	struct blocking_notifier_head *chain;
	struct chain_walk w = {};

	if (!a || !a->chain)
		return 0;
	chain = (void *)a->chain;
	a->chain = 0;
	w.block = BPF_CORE_READ(chain, head);
	if (!(ret & NOTIFY_STOP_MASK) || (ret & ~NOTIFY_STOP_MASK) <= NOTIFY_OK)
		return 0;
	w.ret = NOTIFY_OK - (ret & ~NOTIFY_STOP_MASK);
	REPEAT(MOST_CALLBACKS, send_callback, &w);
	return 0;
}
SLEEPER(blocking_notifier_call_chain_robust, "blocking_notifier_call_chain_robust", chain_returned)
