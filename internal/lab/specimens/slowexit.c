// SPDX-License-Identifier: GPL-2.0
/* slowexit: exports a symbol, and sleeps in its exit. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/wait.h>

#include "slowexit.h"

static unsigned int ms = 1000;
static DECLARE_WAIT_QUEUE_HEAD(changed);

static int set_ms(const char *value, const struct kernel_param *param)
{
	int err = param_set_uint(value, param);

	wake_up(&changed);
	return err;
}

static const struct kernel_param_ops ms_ops = { .set = set_ms, .get = param_get_uint };
module_param_cb(ms, &ms_ops, &ms, 0644);
__MODULE_PARM_TYPE(ms, "uint");
MODULE_PARM_DESC(ms, "How long the exit sleeps, in milliseconds; a smaller value ends it sooner");

int slowexit_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(slowexit_answer);

static int __init slowexit_init(void)
{
	pr_info("will take %u ms to leave\n", ms);
	return 0;
}

static void __exit slowexit_exit(void)
{
	unsigned long began = jiffies;

	wait_event_timeout(changed, time_after_eq(jiffies, began + msecs_to_jiffies(READ_ONCE(ms))), msecs_to_jiffies(ms));
	pr_info("left\n");
}

module_init(slowexit_init);
module_exit(slowexit_exit);

MODULE_DESCRIPTION("Sleeps in its exit");
MODULE_LICENSE("GPL");
