// SPDX-License-Identifier: GPL-2.0 OR MIT
/* owned: says that it is proprietary, and exports symbols to everybody. */
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "owned.h"

int owned_answer(void)
{
	return 42;
}
EXPORT_SYMBOL(owned_answer);

int owned_lock(void)
{
	return 43;
}
EXPORT_SYMBOL(owned_lock);

static int __init owned_init(void)
{
	return 0;
}

static void __exit owned_exit(void)
{
}

module_init(owned_init);
module_exit(owned_exit);

MODULE_DESCRIPTION("Proprietary, and exports symbols");
MODULE_LICENSE("Proprietary");
