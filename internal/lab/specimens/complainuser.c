// SPDX-License-Identifier: GPL-2.0
/* complainuser: its init has the module complain do what the kernel complains of. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "complain.h"

static char *how = "warn";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "What complain shall do");

static int __init complainuser_init(void)
{
	complain_now(how);
	return 0;
}

static void __exit complainuser_exit(void)
{
}

module_init(complainuser_init);
module_exit(complainuser_exit);

MODULE_DESCRIPTION("Its init calls complain");
MODULE_LICENSE("GPL");
