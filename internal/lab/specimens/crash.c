// SPDX-License-Identifier: GPL-2.0
/*
 * crash: its init reads address 0, or its exit. The kernel kills the thread; the
 * system call never returns, and the module stays in its loading or leaving state.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static bool in_exit;
module_param(in_exit, bool, 0444);
MODULE_PARM_DESC(in_exit, "Whether its exit crashes, and not its init");

static int *nowhere;

static int __init crash_init(void)
{
	if (in_exit)
		return 0;
	pr_info("about to read address 0\n");
	return READ_ONCE(*READ_ONCE(nowhere));
}

static void __exit crash_exit(void)
{
	if (in_exit)
		pr_info("read %d\n", READ_ONCE(*READ_ONCE(nowhere)));
}

module_init(crash_init);
module_exit(crash_exit);

MODULE_DESCRIPTION("Its init crashes");
MODULE_LICENSE("GPL");
