// SPDX-License-Identifier: GPL-2.0
/*
 * asker: asks the kernel for another module from code that stays after the init, in
 * the init and whenever a name is written to /sys/module/asker/parameters/ask.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static char *want = "no_such_module";
module_param(want, charp, 0444);
MODULE_PARM_DESC(want, "The module or alias that the init requests");

/* When it is gone, several other modules find room where it was. */
static char room[16384] __used;

static noinline void asker_ask(const char *name)
{
	pr_info("request of %s gave %d\n", name, request_module("%s", name));
}

static int set_ask(const char *value, const struct kernel_param *kp)
{
	asker_ask(value);
	return 0;
}

static const struct kernel_param_ops ask_ops = {
	.set = set_ask,
};
module_param_cb(ask, &ask_ops, NULL, 0200);
MODULE_PARM_DESC(ask, "The module or alias to request now");

static int __init asker_init(void)
{
	asker_ask(want);
	return 0;
}

static void __exit asker_exit(void)
{
}

module_init(asker_init);
module_exit(asker_exit);

MODULE_DESCRIPTION("Requests modules");
MODULE_LICENSE("GPL");
