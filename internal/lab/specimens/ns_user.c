// SPDX-License-Identifier: GPL-2.0
/* ns_user: imports a symbol of ns_owner, and its namespace as it must. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "ns.h"

static int __init ns_user_init(void)
{
	pr_info("ns_owner says %d\n", specimen_in_namespace());
	return 0;
}

static void __exit ns_user_exit(void)
{
}

module_init(ns_user_init);
module_exit(ns_user_exit);

MODULE_DESCRIPTION("Imports a symbol that is in a namespace");
MODULE_LICENSE("GPL");
IMPORT_NAMESPACE;
