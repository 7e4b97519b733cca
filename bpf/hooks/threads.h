/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Kernel threads.
 *
 * kthread_create_on_node asks kthreadd for the thread, sleeps until it is there, and returns
 * its task, in the creator. The thread does nothing before the creator wakes it, which is
 * after this return: so whatever it asks for comes after its creator is kept. It has variable
 * arguments, which trampolines refuse, and it sleeps. kthread_run and kthread_create end
 * here. kthread_create_worker does not: such a thread does what others queue.
 *
 * Workers of workqueues are most of the threads that a machine makes, and no use here. */
#pragma once

static __always_inline int thread_created(__u64 task)
{
	union {
		char text[9];
		__u64 word;
	} worker = { "kworker/" };
	struct task_struct *thread = (void *)task;
	__u64 name = 0;

	if (!task || task >= (__u64)-4095) /* -errno */
		return 0;
	bpf_core_read(&name, sizeof(name), &thread->comm);
	if (name == worker.word)
		return 0;
	return keep_creator(thread, !may_load());
}
SLEEPER(kthread_create_on_node, "kthread_create_on_node", thread_created)
