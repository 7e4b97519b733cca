// SPDX-License-Identifier: GPL-2.0
/*
 * slowuser: imports a symbol of slowbase. There under several names (slowuser0,
 * slowuser1, ...), so that several loads can wait for slowbase at once.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "slowbase.h"

static int __init slowuser_init(void)
{
	pr_info("slowbase says %d\n", slowbase_answer());
	return 0;
}

static void __exit slowuser_exit(void)
{
}

module_init(slowuser_init);
module_exit(slowuser_exit);

MODULE_DESCRIPTION("Imports a symbol of a module that is slow to start");
MODULE_LICENSE("GPL");
