// SPDX-License-Identifier: GPL-2.0
/* base: exports a symbol that the module "user" imports. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "base.h"

int base_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(base_answer);

static int __init base_init(void)
{
	pr_info("ready\n");
	return 0;
}

static void __exit base_exit(void)
{
	pr_info("gone\n");
}

module_init(base_init);
module_exit(base_exit);

MODULE_DESCRIPTION("Exports a symbol");
MODULE_LICENSE("GPL");
