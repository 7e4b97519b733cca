// SPDX-License-Identifier: GPL-2.0
/* params: takes one parameter of each usual type, and one that is particular. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

static int number;
module_param(number, int, 0644);
MODULE_PARM_DESC(number, "An int");

static unsigned int count;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "An unsigned int");

static bool flag;
module_param(flag, bool, 0644);
MODULE_PARM_DESC(flag, "A bool");

static char *text = "";
module_param(text, charp, 0444);
MODULE_PARM_DESC(text, "A string");

static int triple[3];
static unsigned int triples;
module_param_array(triple, int, &triples, 0444);
MODULE_PARM_DESC(triple, "Up to three ints");

static int level;

/* Understands any int, and refuses those that are out of range. */
static int set_level(const char *value, const struct kernel_param *kp)
{
	int wanted;
	int err = kstrtoint(value, 0, &wanted);

	if (err)
		return err;
	if (wanted < 0 || wanted > 10)
		return -ERANGE;
	level = wanted;
	return 0;
}

static const struct kernel_param_ops level_ops = {
	.set = set_level,
	.get = param_get_int,
};
module_param_cb(level, &level_ops, &level, 0644);
__MODULE_PARM_TYPE(level, "int");
MODULE_PARM_DESC(level, "An int from 0 to 10");

static int __init params_init(void)
{
	pr_info("number=%d count=%u flag=%d text=%s triple=%d,%d,%d (%u given) level=%d\n",
		number, count, flag, text, triple[0], triple[1], triple[2], triples, level);
	return 0;
}

static void __exit params_exit(void)
{
}

module_init(params_init);
module_exit(params_exit);

MODULE_DESCRIPTION("Takes parameters of all types");
MODULE_LICENSE("GPL");
