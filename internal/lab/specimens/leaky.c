// SPDX-License-Identifier: GPL-2.0
/* leaky: forgets to give something back. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *what = "";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "slab, vmalloc, entries, reference, warning or panic: what becomes of it");

static void *forgotten;

static noinline int leak_slab(void)
{
	forgotten = kmalloc(1000, GFP_KERNEL);
	return forgotten ? 0 : -ENOMEM;
}

static noinline int leak_vmalloc(void)
{
	forgotten = vmalloc(100000);
	return forgotten ? 0 : -ENOMEM;
}

static int leak_entries(void)
{
	debugfs_create_dir("leaky", NULL);
	if (!kobject_create_and_add("leaky", kernel_kobj))
		return -ENOMEM;
	return proc_mkdir("leaky", NULL) ? 0 : -ENOMEM;
}

static int __init leaky_init(void)
{
	if (!strcmp(what, "slab"))
		return leak_slab();
	if (!strcmp(what, "vmalloc"))
		return leak_vmalloc();
	if (!strcmp(what, "entries"))
		return leak_entries();
	if (!strcmp(what, "reference"))
		return try_module_get(THIS_MODULE) ? 0 : -ENODEV;
	if (!strcmp(what, "warning"))
		WARN(1, "leaky was told to warn\n");
	if (!strcmp(what, "panic"))
		panic("leaky was told to panic");
	return 0;
}

static void __exit leaky_exit(void)
{
}

module_init(leaky_init);
module_exit(leaky_exit);

MODULE_DESCRIPTION("Does not give everything back");
MODULE_LICENSE("GPL");
