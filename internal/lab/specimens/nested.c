// SPDX-License-Identifier: GPL-2.0
/* nested: its init asks the kernel for another module and waits for it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *want = "dummy";
module_param(want, charp, 0444);
MODULE_PARM_DESC(want, "The module or alias to request");

static int __init nested_init(void)
{
	pr_info("request of %s gave %d\n", want, request_module("%s", want));
	return 0;
}

static void __exit nested_exit(void)
{
}

module_init(nested_init);
module_exit(nested_exit);

MODULE_DESCRIPTION("Requests a module in its init");
MODULE_LICENSE("GPL");
