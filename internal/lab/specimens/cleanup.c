// SPDX-License-Identifier: GPL-2.0
/*
 * cleanup: its init fails, prints why at level err, in several lines, and then what it
 * does to clean up, at lower levels.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static bool parts;
module_param(parts, bool, 0444);
MODULE_PARM_DESC(parts, "Print the reason in parts of one line");

static int __init cleanup_init(void)
{
	pr_info("probing\n");
	pr_warn("slot 3 is slow\n");
	if (parts) {
		pr_err("slot 3:");
		pr_cont(" no answer,");
		pr_cont(" giving up\n");
	} else {
		pr_err("slot 3 does not answer\n  register 0x10: 0xff\n");
		printk(KERN_ERR "  register 0x14: 0x00\n");
	}
	pr_info("slot 2 is off\n");
	pr_info("slot 1 is off\n");
	pr_debug("all off\n");
	return -EIO;
}

static void __exit cleanup_exit(void)
{
}

module_init(cleanup_init);
module_exit(cleanup_exit);

MODULE_DESCRIPTION("Its init fails, and cleans up");
MODULE_LICENSE("GPL");
