// SPDX-License-Identifier: GPL-2.0
/*
 * slowbase: exports a symbol and sleeps in its init. Whoever imports the symbol
 * meanwhile waits for the init, half a minute at most: then the kernel gives up.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/wait.h>

#include "slowbase.h"

static unsigned int ms = 1500;
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
MODULE_PARM_DESC(ms, "How long the init sleeps, in milliseconds; a smaller value ends it sooner");

int slowbase_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(slowbase_answer);

static int __init slowbase_init(void)
{
	unsigned long began = jiffies;

	pr_info("ready in %u ms\n", ms);
	wait_event_timeout(changed, time_after_eq(jiffies, began + msecs_to_jiffies(READ_ONCE(ms))), msecs_to_jiffies(ms));
	return 0;
}

static void __exit slowbase_exit(void)
{
}

module_init(slowbase_init);
module_exit(slowbase_exit);

MODULE_DESCRIPTION("Exports a symbol and sleeps in its init");
MODULE_LICENSE("GPL");
