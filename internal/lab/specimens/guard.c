// SPDX-License-Identifier: GPL-2.0
/*
 * guard: registers a callback for the states of modules, as security products do, and
 * refuses the module of one name when it is complete, without a message unless asked.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/string.h>

static char *refuse = "hello";
module_param(refuse, charp, 0444);
MODULE_PARM_DESC(refuse, "The module to refuse");

static int err = EPERM;
module_param(err, int, 0644);
MODULE_PARM_DESC(err, "The errno to refuse it with, as a positive number");

static bool say;
module_param(say, bool, 0644);
MODULE_PARM_DESC(say, "Print that it refuses");

static int guard_notify(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;

	if (state != MODULE_STATE_COMING || strcmp(mod->name, refuse))
		return NOTIFY_OK;
	if (say)
		pr_err("%s is not allowed here\n", mod->name);
	return notifier_from_errno(-err);
}

static struct notifier_block guard_block = {
	.notifier_call = guard_notify,
};

static int __init guard_init(void)
{
	return register_module_notifier(&guard_block);
}

static void __exit guard_exit(void)
{
	unregister_module_notifier(&guard_block);
}

module_init(guard_init);
module_exit(guard_exit);

MODULE_DESCRIPTION("Refuses a module when it is complete");
MODULE_LICENSE("GPL");
