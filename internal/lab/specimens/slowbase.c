// SPDX-License-Identifier: GPL-2.0
/*
 * slowbase: exports a symbol and sleeps in its init. Whoever imports the symbol
 * meanwhile waits for the init, half a minute at most: then the kernel gives up.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "slowbase.h"

static unsigned int ms = 1500;
module_param(ms, uint, 0444);
MODULE_PARM_DESC(ms, "How long the init sleeps, in milliseconds");

int slowbase_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(slowbase_answer);

static int __init slowbase_init(void)
{
	pr_info("ready in %u ms\n", ms);
	msleep(ms);
	return 0;
}

static void __exit slowbase_exit(void)
{
}

module_init(slowbase_init);
module_exit(slowbase_exit);

MODULE_DESCRIPTION("Exports a symbol and sleeps in its init");
MODULE_LICENSE("GPL");
