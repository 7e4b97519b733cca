// SPDX-License-Identifier: GPL-2.0
/*
 * overput: drops a reference on itself that it does not have, so that the kernel
 * counts -1 once the init has ended. An unload of it is then a BUG in the kernel.
 * Until 0 is written to /sys/module/overput/parameters/broken, which takes the
 * reference back.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static bool broken = true;
static bool dropped;
static bool started;

static void settle(void)
{
	if (broken && !dropped) {
		dropped = true;
		module_put(THIS_MODULE);
	} else if (!broken && dropped) {
		dropped = false;
		__module_get(THIS_MODULE); /* try_module_get takes none from there */
	}
}

/* Also runs before the init, for broken=... on the command line of the load. */
static int set_broken(const char *value, const struct kernel_param *kp)
{
	int err = param_set_bool(value, kp);

	if (!err && started)
		settle();
	return err;
}

static const struct kernel_param_ops broken_ops = {
	.set = set_broken,
	.get = param_get_bool,
};
module_param_cb(broken, &broken_ops, &broken, 0644);
__MODULE_PARM_TYPE(broken, "bool");
MODULE_PARM_DESC(broken, "Whether a reference that it does not have is dropped");

static int __init overput_init(void)
{
	settle();
	started = true;
	pr_info("dropped: %d\n", dropped);
	return 0;
}

static void __exit overput_exit(void)
{
}

module_init(overput_init);
module_exit(overput_exit);

MODULE_DESCRIPTION("Drops a reference on itself that it does not have");
MODULE_LICENSE("GPL");
