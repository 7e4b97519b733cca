// SPDX-License-Identifier: GPL-2.0
/* growuser: imports a symbol that one build of the module "grown" exports. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "grown.h"

static int __init growuser_init(void)
{
	pr_info("grown says %d\n", grown_more());
	return 0;
}

static void __exit growuser_exit(void)
{
}

module_init(growuser_init);
module_exit(growuser_exit);

MODULE_DESCRIPTION("Wants a later build of another module");
MODULE_LICENSE("GPL");
