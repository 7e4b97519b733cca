// SPDX-License-Identifier: GPL-2.0
/* ns_owner: exports a symbol in the namespace SPECIMEN. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "ns.h"

int specimen_in_namespace(void)
{
	return 7;
}
EXPORT_IN_NAMESPACE(specimen_in_namespace);

static int __init ns_owner_init(void)
{
	return 0;
}

static void __exit ns_owner_exit(void)
{
}

module_init(ns_owner_init);
module_exit(ns_owner_exit);

MODULE_DESCRIPTION("Exports a symbol in a namespace");
MODULE_LICENSE("GPL");
