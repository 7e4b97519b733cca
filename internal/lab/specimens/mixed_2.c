// SPDX-License-Identifier: GPL-2.0
/*
 * mixed_2: imports a symbol for modules under the GPL only, and one of the proprietary
 * module "owned". The kernel lets no module use both, and says so in other words for
 * each order of the two in the table of symbols, which the linker chooses by their names:
 * so there are mixed_1 and mixed_2.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

#include "owned.h"

static int __init mixed_init(void)
{
	pr_info("%d at %llu\n", owned_lock(), ktime_get_raw_fast_ns());
	return 0;
}

static void __exit mixed_exit(void)
{
}

module_init(mixed_init);
module_exit(mixed_exit);

MODULE_DESCRIPTION("Uses what no module may use together");
MODULE_LICENSE("GPL");
