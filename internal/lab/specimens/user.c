// SPDX-License-Identifier: GPL-2.0
/* user: imports a symbol of the module "base", and so depends on it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "base.h"

static int __init user_init(void)
{
	pr_info("base says %d\n", base_answer());
	return 0;
}

static void __exit user_exit(void)
{
	pr_info("gone\n");
}

module_init(user_init);
module_exit(user_exit);

MODULE_DESCRIPTION("Imports a symbol");
MODULE_LICENSE("GPL");
