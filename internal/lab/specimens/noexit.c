// SPDX-License-Identifier: GPL-2.0
/* noexit: has an init and no exit, so the kernel refuses to unload it (EBUSY). */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int __init noexit_init(void)
{
	pr_info("here to stay\n");
	return 0;
}

module_init(noexit_init);

MODULE_DESCRIPTION("Has no exit function");
MODULE_LICENSE("GPL");
