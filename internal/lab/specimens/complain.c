// SPDX-License-Identifier: GPL-2.0
/*
 * complain: has the kernel print a warning, an oops or a backtrace, in its init, in
 * its exit, or for a module that calls complain_now. After that its init returns
 * what the parameter says.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bottom_half.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/refcount.h>
#include <linux/string.h>

#include "complain.h"

static char *at_init = "";
module_param_named(init, at_init, charp, 0444);
MODULE_PARM_DESC(init, "What its init has the kernel complain of");

static char *at_exit = "";
module_param_named(exit, at_exit, charp, 0444);
MODULE_PARM_DESC(exit, "What its exit has the kernel complain of");

static int result;
module_param(result, int, 0444);
MODULE_PARM_DESC(result, "What its init returns, 0 or below");

static int *nowhere;
static int few[4];
static unsigned int beyond = 7;

static noinline void divide(void)
{
#ifdef CONFIG_X86
	asm volatile("xor %%ecx, %%ecx\n\tdiv %%ecx" ::: "eax", "ecx", "edx", "cc");
#else
	asm volatile("udf #0"); /* arm64 divides by 0 and gives 0 */
#endif
}

static noinline void count_below_0(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static noinline void create_twice(void)
{
	struct kobject *one = kobject_create_and_add("complain", kernel_kobj);
	struct kobject *two = kobject_create_and_add("complain", kernel_kobj);

	kobject_put(two);
	kobject_put(one);
}

static noinline void sleep_in_bottom_half(void)
{
	local_bh_disable();
	msleep(1); /* the kernel complains, and enables them again */
}

static noinline void warn_once(void)
{
	WARN_ONCE(1, "complain: %d of %d are broken\n", 3, 4);
}

void complain_now(const char *how)
{
	if (!strcmp(how, "warn"))
		WARN_ON(how);
	else if (!strcmp(how, "warn-text"))
		WARN(1, "complain: the device says %d,\nand that is wrong\n", 42);
	else if (!strcmp(how, "warn-once"))
		warn_once();
	else if (!strcmp(how, "warn-taint"))
		WARN_TAINT(1, TAINT_FIRMWARE_WORKAROUND, "complain: the firmware lies\n");
	else if (!strcmp(how, "refcount"))
		count_below_0();
	else if (!strcmp(how, "dump-stack"))
		dump_stack();
	else if (!strcmp(how, "duplicate"))
		create_twice();
	else if (!strcmp(how, "atomic"))
		sleep_in_bottom_half();
	else if (!strcmp(how, "bounds"))
		WRITE_ONCE(few[READ_ONCE(beyond)], 1);
	else if (!strcmp(how, "bug"))
		BUG();
	else if (!strcmp(how, "null"))
		WRITE_ONCE(*READ_ONCE(nowhere), 1);
	else if (!strcmp(how, "wild"))
		READ_ONCE(*(int *)0xdead000000000100);
	else if (!strcmp(how, "divide"))
		divide();
	else if (!strcmp(how, "jump"))
		((void (*)(void))READ_ONCE(nowhere))();
}
EXPORT_SYMBOL_GPL(complain_now);

static int __init complain_init(void)
{
	pr_info("init: %s\n", at_init);
	complain_now(at_init);
	if (result)
		pr_err("cannot go on\n");
	return result < 0 ? result : 0;
}

static void __exit complain_exit(void)
{
	complain_now(at_exit);
}

module_init(complain_init);
module_exit(complain_exit);

MODULE_DESCRIPTION("Has the kernel print warnings, oopses and backtraces");
MODULE_LICENSE("GPL");
