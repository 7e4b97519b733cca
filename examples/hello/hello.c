// SPDX-License-Identifier: GPL-2.0
/*
 * hello: says hello when it is plugged into the kernel and goodbye when it is
 * unplugged. Its words go to the kernel log (dmesg).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *whom;
module_param(whom, charp, 0444);
MODULE_PARM_DESC(whom, "Whom to greet (default: nobody in particular)");

static int __init hello_init(void)
{
	if (whom && *whom)
		pr_info("Hello, %s!\n", whom);
	else
		pr_info("Hello!\n");
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("Goodbye!\n");
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_DESCRIPTION("Says hello and goodbye");
MODULE_AUTHOR("The kmodtrace authors");
MODULE_VERSION("1.0");
MODULE_LICENSE("GPL");
