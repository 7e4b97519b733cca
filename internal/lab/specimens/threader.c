// SPDX-License-Identifier: GPL-2.0
/*
 * threader: asks the kernel for another module from kernel threads. Its init has one do
 * that where the parameter want names a module. Afterwards, whatever is written to one of
 * /sys/module/threader/parameters is asked for:
 *   ask       by a thread that the writer has made
 *   nest      by a thread that such a thread has made
 *   hold      by such a thread, when anything is written to go
 *   worker    by a thread for work (kthread_worker), whose creator need not want the work
 *   schedule  by a worker of a workqueue
 * The writer waits until it was asked for, hold's does not. A number that is written to make
 * has so many threads made and ended, one after another, which ask for nothing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kmod.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define kthread_run_worker(flags, name) kthread_create_worker(flags, name)
#endif

static char *want;
module_param(want, charp, 0444);
MODULE_PARM_DESC(want, "The module or alias that a thread of the init requests");

static char name[64];
static DECLARE_COMPLETION(asked);
static DECLARE_COMPLETION(released);
static struct task_struct *held;

static void ask(void)
{
	pr_info("request of %s gave %d\n", name, request_module("%s", name));
	complete(&asked);
}

/* The module's text must outlive the thread. */
static int stay(void)
{
	while (!kthread_should_stop())
		msleep(5);
	return 0;
}

static int ask_in_thread(void *unused)
{
	ask();
	return stay();
}

static int ask_when_released(void *unused)
{
	wait_for_completion(&released);
	ask();
	return stay();
}

static int have_asked(int (*thread)(void *), const char *comm)
{
	struct task_struct *task;

	reinit_completion(&asked);
	task = kthread_run(thread, NULL, "%s", comm);
	if (IS_ERR(task))
		return PTR_ERR(task);
	wait_for_completion(&asked);
	kthread_stop(task);
	return 0;
}

static int ask_in_another(void *unused)
{
	struct task_struct *task = kthread_run(ask_in_thread, NULL, "specimen-inner");

	if (IS_ERR(task))
		complete(&asked);
	stay();
	if (!IS_ERR(task))
		kthread_stop(task);
	return 0;
}

static void take(const char *value)
{
	strscpy(name, value, sizeof(name));
	strim(name);
}

static int set_ask(const char *value, const struct kernel_param *kp)
{
	take(value);
	return have_asked(ask_in_thread, "specimen-asks");
}

static int set_nest(const char *value, const struct kernel_param *kp)
{
	take(value);
	return have_asked(ask_in_another, "specimen-outer");
}

static int set_hold(const char *value, const struct kernel_param *kp)
{
	if (held)
		return -EBUSY;
	take(value);
	held = kthread_run(ask_when_released, NULL, "specimen-held");
	if (IS_ERR(held)) {
		int err = PTR_ERR(held);

		held = NULL;
		return err;
	}
	return 0;
}

static int set_go(const char *value, const struct kernel_param *kp)
{
	if (!held)
		return -ENOENT;
	reinit_completion(&asked);
	complete(&released);
	wait_for_completion(&asked);
	kthread_stop(held);
	held = NULL;
	return 0;
}

static int idle(void *unused)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static int set_make(const char *value, const struct kernel_param *kp)
{
	unsigned int n, i;
	int err = kstrtouint(value, 0, &n);

	if (err)
		return err;
	for (i = 0; i < n; i++) {
		struct task_struct *task = kthread_run(idle, NULL, "specimen-idle");

		if (IS_ERR(task))
			return PTR_ERR(task);
		kthread_stop(task);
	}
	return 0;
}

static void ask_in_kthread_work(struct kthread_work *work)
{
	ask();
}

static void ask_in_work(struct work_struct *work)
{
	ask();
}

static DEFINE_KTHREAD_WORK(kthread_work, ask_in_kthread_work);
static DECLARE_WORK(work, ask_in_work);

static int set_worker(const char *value, const struct kernel_param *kp)
{
	struct kthread_worker *worker = kthread_run_worker(0, "specimen-worker");

	if (IS_ERR(worker))
		return PTR_ERR(worker);
	take(value);
	kthread_init_work(&kthread_work, ask_in_kthread_work);
	kthread_queue_work(worker, &kthread_work);
	kthread_flush_worker(worker);
	kthread_destroy_worker(worker);
	return 0;
}

static int set_schedule(const char *value, const struct kernel_param *kp)
{
	take(value);
	schedule_work(&work);
	flush_work(&work);
	return 0;
}

#define WRITTEN(what)                                          \
	static const struct kernel_param_ops what##_ops = {    \
		.set = set_##what,                             \
	};                                                     \
	module_param_cb(what, &what##_ops, NULL, 0200);        \
	MODULE_PARM_DESC(what, "See the beginning of the source")

WRITTEN(ask);
WRITTEN(nest);
WRITTEN(hold);
WRITTEN(go);
WRITTEN(make);
WRITTEN(worker);
WRITTEN(schedule);

static int __init threader_init(void)
{
	if (!want)
		return 0;
	take(want);
	return have_asked(ask_in_thread, "specimen-init");
}

static void __exit threader_exit(void)
{
	if (held) {
		complete(&released);
		kthread_stop(held);
	}
}

module_init(threader_init);
module_exit(threader_exit);

MODULE_DESCRIPTION("Requests modules from kernel threads");
MODULE_LICENSE("GPL");
