// SPDX-License-Identifier: GPL-2.0
/* chatty: prints many lines in its init. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static unsigned int lines = 100;
module_param(lines, uint, 0444);
MODULE_PARM_DESC(lines, "How many lines the init prints");

static int __init chatty_init(void)
{
	unsigned int i;

	for (i = 1; i <= lines; i++)
		pr_info("line %u of %u\n", i, lines);
	return 0;
}

static void __exit chatty_exit(void)
{
}

module_init(chatty_init);
module_exit(chatty_exit);

MODULE_DESCRIPTION("Prints many lines in its init");
MODULE_LICENSE("GPL");
