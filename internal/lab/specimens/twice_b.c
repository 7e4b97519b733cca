// SPDX-License-Identifier: GPL-2.0
/*
 * twice_b: exports specimen_twicf. The build refuses two modules that export one
 * name, so the variant dup_export is this one with the name made specimen_twice.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

int specimen_twicf(void);

int specimen_twicf(void)
{
	return 2;
}
EXPORT_SYMBOL_GPL(specimen_twicf);

static int __init twice_b_init(void)
{
	return 0;
}

static void __exit twice_b_exit(void)
{
}

module_init(twice_b_init);
module_exit(twice_b_exit);

MODULE_DESCRIPTION("Exports a symbol, to be renamed");
MODULE_LICENSE("GPL");
