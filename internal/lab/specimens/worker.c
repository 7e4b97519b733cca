// SPDX-License-Identifier: GPL-2.0
/*
 * worker: its init starts a kernel thread and waits for it. The thread prints
 * while the load is under way, so not every message between the start and the
 * end of a load carries the loading thread's id.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>

static DECLARE_COMPLETION(started);

static int work(void *unused)
{
	pr_info("message from the thread\n");
	complete(&started);
	/* Stay until told to stop: the module's text must outlive the thread. */
	while (!kthread_should_stop())
		msleep(10);
	return 0;
}

static int __init worker_init(void)
{
	struct task_struct *thread = kthread_run(work, NULL, "specimen-worker");

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	wait_for_completion(&started);
	msleep(50);
	kthread_stop(thread);
	pr_info("message from the init\n");
	return 0;
}

static void __exit worker_exit(void)
{
}

module_init(worker_init);
module_exit(worker_exit);

MODULE_DESCRIPTION("A thread of its own prints during its init");
MODULE_LICENSE("GPL");
