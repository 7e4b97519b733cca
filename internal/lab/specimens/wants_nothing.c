// SPDX-License-Identifier: GPL-2.0
/* wants_nothing: imports a symbol that nobody exports, so no kernel loads it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

int specimen_nowhere(void);

static int __init wants_nothing_init(void)
{
	return specimen_nowhere();
}

static void __exit wants_nothing_exit(void)
{
}

module_init(wants_nothing_init);
module_exit(wants_nothing_exit);

MODULE_DESCRIPTION("Imports a symbol that nobody exports");
MODULE_LICENSE("GPL");
