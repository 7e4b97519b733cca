// SPDX-License-Identifier: GPL-2.0
/*
 * overput: drops a reference on itself that it does not have, so that the kernel
 * counts -1 once the init has ended. An unload of it is then a BUG in the kernel,
 * until 0 is written to /sys/module/overput/parameters/count. So it can have any
 * number of references from -1 on, below which the kernel does not count.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int count = -1;
static int counted;
static bool started;

static void settle(void)
{
	for (; counted < count; counted++)
		__module_get(THIS_MODULE); /* try_module_get takes none from -1 on */
	for (; counted > count; counted--)
		module_put(THIS_MODULE);
}

/* Also runs before the init, for count=... on the command line of the load. */
static int set_count(const char *value, const struct kernel_param *kp)
{
	int wanted, err = kstrtoint(value, 0, &wanted);

	if (err)
		return err;
	if (wanted < -1 || wanted > 100)
		return -ERANGE;
	count = wanted;
	if (started)
		settle();
	return 0;
}

static const struct kernel_param_ops count_ops = {
	.set = set_count,
	.get = param_get_int,
};
module_param_cb(count, &count_ops, &count, 0644);
__MODULE_PARM_TYPE(count, "int");
MODULE_PARM_DESC(count, "How many references it has on itself, from -1 on");

static int __init overput_init(void)
{
	settle();
	started = true;
	pr_info("count: %d\n", counted);
	return 0;
}

static void __exit overput_exit(void)
{
}

module_init(overput_init);
module_exit(overput_exit);

MODULE_DESCRIPTION("Drops a reference on itself that it does not have");
MODULE_LICENSE("GPL");
