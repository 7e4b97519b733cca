// SPDX-License-Identifier: GPL-2.0
/* slowexit: exports a symbol, and sleeps in its exit. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "slowexit.h"

static unsigned int ms = 1000;
module_param(ms, uint, 0644);
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

	while (time_before(jiffies, began + msecs_to_jiffies(READ_ONCE(ms))))
		msleep(20);
	pr_info("left\n");
}

module_init(slowexit_init);
module_exit(slowexit_exit);

MODULE_DESCRIPTION("Sleeps in its exit");
MODULE_LICENSE("GPL");
