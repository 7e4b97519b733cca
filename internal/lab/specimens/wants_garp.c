// SPDX-License-Identifier: GPL-2.0
/*
 * wants_garp: imports garp_request_join, which the distribution's module garp
 * exports. The symbol is missing until garp is loaded.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h> /* garp.h relies on it */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <net/garp.h>

static int __init wants_garp_init(void)
{
	pr_info("garp is at %ps\n", garp_request_join);
	return 0;
}

static void __exit wants_garp_exit(void)
{
}

module_init(wants_garp_init);
module_exit(wants_garp_exit);

MODULE_DESCRIPTION("Imports a symbol of the module garp");
MODULE_LICENSE("GPL");
