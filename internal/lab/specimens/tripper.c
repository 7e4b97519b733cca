// SPDX-License-Identifier: GPL-2.0
/*
 * tripper: is told when modules come and go, and reads address 0 when one that is
 * called hello goes. The thread that unloads hello dies in it, and not in hello.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/string.h>

static int *nowhere;

static int tripper_notify(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *mod = data;

	if (event == MODULE_STATE_GOING && !strcmp(mod->name, "hello"))
		return READ_ONCE(*READ_ONCE(nowhere));
	return NOTIFY_DONE;
}

static struct notifier_block tripper_block = { .notifier_call = tripper_notify };

static int __init tripper_init(void)
{
	return register_module_notifier(&tripper_block);
}

static void __exit tripper_exit(void)
{
	unregister_module_notifier(&tripper_block);
}

module_init(tripper_init);
module_exit(tripper_exit);

MODULE_DESCRIPTION("Crashes when hello goes");
MODULE_LICENSE("GPL");
