// SPDX-License-Identifier: GPL-2.0
/*
 * patcher: a livepatch of a function that is not there, in a module or (without object=) in
 * the kernel. Of a module that is not loaded it is taken, and keeps that module out.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *object;
module_param(object, charp, 0444);
MODULE_PARM_DESC(object, "The module to patch");

#if IS_ENABLED(CONFIG_LIVEPATCH)
static int patcher_nowhere(void)
{
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "specimen_nowhere", .new_func = patcher_nowhere },
	{},
};

static struct klp_object objects[] = {
	{ .funcs = funcs },
	{},
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init patcher_init(void)
{
	objects[0].name = object;
	return klp_enable_patch(&patch);
}
#else
static int __init patcher_init(void)
{
	return 0;
}
#endif

static void __exit patcher_exit(void)
{
}

module_init(patcher_init);
module_exit(patcher_exit);

MODULE_DESCRIPTION("A livepatch that does not fit");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
