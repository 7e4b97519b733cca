// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * gpl_user: imports ktime_get_raw_fast_ns, which the kernel image exports to
 * modules under the GPL only. The build refuses that import to others, so the
 * variant gpl_only is this module with the licence's text replaced.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

static int __init gpl_user_init(void)
{
	pr_info("the clock says %llu\n", ktime_get_raw_fast_ns());
	return 0;
}

static void __exit gpl_user_exit(void)
{
}

module_init(gpl_user_init);
module_exit(gpl_user_exit);

MODULE_DESCRIPTION("Imports a symbol that is exported to the GPL only");
MODULE_LICENSE("Dual MIT/GPL");
