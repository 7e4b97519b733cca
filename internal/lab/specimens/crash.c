// SPDX-License-Identifier: GPL-2.0
/*
 * crash: its init reads address 0. The kernel kills the loading thread; the
 * system call never returns, and the module stays in its loading state.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int *nowhere;

static int __init crash_init(void)
{
	pr_info("about to read address 0\n");
	return READ_ONCE(*READ_ONCE(nowhere));
}

static void __exit crash_exit(void)
{
}

module_init(crash_init);
module_exit(crash_exit);

MODULE_DESCRIPTION("Its init crashes");
MODULE_LICENSE("GPL");
