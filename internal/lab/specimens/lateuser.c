// SPDX-License-Identifier: GPL-2.0
/* lateuser: imports a symbol of slowexit, which takes long to leave. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "slowexit.h"

static int __init lateuser_init(void)
{
	pr_info("slowexit says %d\n", slowexit_answer());
	return 0;
}

static void __exit lateuser_exit(void)
{
}

module_init(lateuser_init);
module_exit(lateuser_exit);

MODULE_DESCRIPTION("Imports a symbol of a module that is slow to leave");
MODULE_LICENSE("GPL");
