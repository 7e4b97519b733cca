/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hider: a module that hides, from the kernel's list of modules (HIDER_LIST), from
 * sysfs (HIDER_SYSFS) or from both. It never comes back: its machine is thrown away.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rculist.h>
#include <linux/workqueue.h>

static unsigned int after;
module_param(after, uint, 0444);
MODULE_PARM_DESC(after, "How long it shows itself, in milliseconds");

static void hide(struct work_struct *work)
{
#ifdef HIDER_LIST
	list_del_rcu(&THIS_MODULE->list);
#endif
#ifdef HIDER_SYSFS
	kobject_del(&THIS_MODULE->mkobj.kobj);
#endif
	pr_info("hidden\n");
}

static DECLARE_DELAYED_WORK(hiding, hide);

static int __init hider_init(void)
{
	if (after)
		schedule_delayed_work(&hiding, msecs_to_jiffies(after));
	else
		hide(NULL);
	return 0;
}

static void __exit hider_exit(void)
{
	cancel_delayed_work_sync(&hiding);
}

module_init(hider_init);
module_exit(hider_exit);

MODULE_DESCRIPTION("Hides");
MODULE_LICENSE("GPL");
