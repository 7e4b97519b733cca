// SPDX-License-Identifier: GPL-2.0
/*
 * grown: exports a symbol that the module "growuser" imports. Its variant grown_before is
 * another build of it, without the symbol.
 */
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "grown.h"

int grown_more(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(grown_more);

static int __init grown_init(void)
{
	return 0;
}

static void __exit grown_exit(void)
{
}

module_init(grown_init);
module_exit(grown_exit);

MODULE_DESCRIPTION("Exports more than an earlier build of it");
MODULE_LICENSE("GPL");
