// SPDX-License-Identifier: GPL-2.0
/* twice_a: exports specimen_twice. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

int specimen_twice(void);

int specimen_twice(void)
{
	return 1;
}
EXPORT_SYMBOL_GPL(specimen_twice);

static int __init twice_a_init(void)
{
	return 0;
}

static void __exit twice_a_exit(void)
{
}

module_init(twice_a_init);
module_exit(twice_a_exit);

MODULE_DESCRIPTION("Exports a symbol that another module exports too");
MODULE_LICENSE("GPL");
