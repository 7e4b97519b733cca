// SPDX-License-Identifier: GPL-2.0
/*
 * nap: sleeps in its init. There under many names (nap0, nap1, ...), so that many
 * loads can be under way at once.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static unsigned int ms = 1500;
module_param(ms, uint, 0444);
MODULE_PARM_DESC(ms, "How long the init sleeps, in milliseconds");

static int __init nap_init(void)
{
	msleep(ms);
	pr_info("slept %u ms\n", ms);
	return 0;
}

static void __exit nap_exit(void)
{
}

module_init(nap_init);
module_exit(nap_exit);

MODULE_DESCRIPTION("Sleeps in its init");
MODULE_LICENSE("GPL");
