// SPDX-License-Identifier: GPL-2.0
/* failuser: imports a symbol of failbase, and so cannot be loaded before it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "failbase.h"

static int __init failuser_init(void)
{
	pr_info("failbase says %d\n", failbase_answer());
	return 0;
}

static void __exit failuser_exit(void)
{
}

module_init(failuser_init);
module_exit(failuser_exit);

MODULE_DESCRIPTION("Imports a symbol of a module whose init fails");
MODULE_LICENSE("GPL");
