// SPDX-License-Identifier: GPL-2.0
/*
 * badtypes: has a section .BTF that is not BTF. Kernels that keep the types of modules, and
 * do not allow a mismatch, refuse it; others load it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static const char types[64] __used __section(".BTF") = "not the types of a module";

static int __init badtypes_init(void)
{
	return 0;
}

static void __exit badtypes_exit(void)
{
}

module_init(badtypes_init);
module_exit(badtypes_exit);

MODULE_DESCRIPTION("Its type information is damaged");
MODULE_LICENSE("GPL");
