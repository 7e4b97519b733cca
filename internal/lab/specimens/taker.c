// SPDX-License-Identifier: GPL-2.0
/*
 * taker: holds a reference on itself, so it cannot be unloaded until 0 is
 * written to /sys/module/taker/parameters/hold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static bool hold = true;
static bool held;
static bool started;

static int settle(void)
{
	if (hold && !held) {
		if (!try_module_get(THIS_MODULE))
			return -ENODEV;
		held = true;
	} else if (!hold && held) {
		held = false;
		module_put(THIS_MODULE);
	}
	return 0;
}

/* Also runs before the init, for hold=... on the command line of the load. */
static int set_hold(const char *value, const struct kernel_param *kp)
{
	int err = param_set_bool(value, kp);

	return err || !started ? err : settle();
}

static const struct kernel_param_ops hold_ops = {
	.set = set_hold,
	.get = param_get_bool,
};
module_param_cb(hold, &hold_ops, &hold, 0644);
__MODULE_PARM_TYPE(hold, "bool");
MODULE_PARM_DESC(hold, "Whether to hold a reference on itself");

static int __init taker_init(void)
{
	int err = settle();

	if (err)
		return err;
	started = true;
	pr_info("holding: %d\n", held);
	return 0;
}

static void __exit taker_exit(void)
{
}

module_init(taker_init);
module_exit(taker_exit);

MODULE_DESCRIPTION("Holds a reference on itself");
MODULE_LICENSE("GPL");
