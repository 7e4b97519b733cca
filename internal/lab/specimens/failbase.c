// SPDX-License-Identifier: GPL-2.0
/*
 * failbase: exports a symbol, and its init fails with an errno of your choice, so
 * that failuser, which imports the symbol, has a dependency that does not load.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "failbase.h"

static int err = EIO;
module_param(err, int, 0444);
MODULE_PARM_DESC(err, "The errno to fail with, as a positive number; 0 to work");

int failbase_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(failbase_answer);

static int __init failbase_init(void)
{
	if (err)
		pr_info("failing with %d\n", err);
	return -err;
}

static void __exit failbase_exit(void)
{
}

module_init(failbase_init);
module_exit(failbase_exit);

MODULE_DESCRIPTION("Exports a symbol, and its init fails");
MODULE_LICENSE("GPL");
