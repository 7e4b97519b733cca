// SPDX-License-Identifier: GPL-2.0
/*
 * positive: its init returns 1 where 0 or a negative errno belongs. The kernel
 * complains, with a stack trace, and keeps the module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int __init positive_init(void)
{
	pr_info("returning 1\n");
	return 1;
}

static void __exit positive_exit(void)
{
}

module_init(positive_init);
module_exit(positive_exit);

MODULE_DESCRIPTION("Its init returns a positive number");
MODULE_LICENSE("GPL");
