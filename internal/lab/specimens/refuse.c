// SPDX-License-Identifier: GPL-2.0
/* refuse: its init fails with an errno of your choice, after saying so. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int err = ENODEV;
module_param(err, int, 0444);
MODULE_PARM_DESC(err, "The errno to fail with, as a positive number");

static int __init refuse_init(void)
{
	pr_info("refusing with %d\n", err);
	return -err;
}

static void __exit refuse_exit(void)
{
}

module_init(refuse_init);
module_exit(refuse_exit);

MODULE_DESCRIPTION("Its init fails");
MODULE_LICENSE("GPL");
