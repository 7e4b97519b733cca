// SPDX-License-Identifier: GPL-2.0
/*
 * inner fails, or takes long, in a function inside its init or exit that its parameter names: for tests of
 * what a tracer finds there.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *how = "";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "what goes wrong");

static int exit_ms;
module_param(exit_ms, int, 0644);
MODULE_PARM_DESC(exit_ms, "how long its exit takes, in milliseconds");

static struct platform_device *device;
static bool has_driver;
static bool has_range;

/* The compiler must not know what the functions return: else it drops their results. */
static int io_error = -EIO, timeout = -ETIMEDOUT, range = -ERANGE, protocol = -EPROTO;

/* Each is kept apart from its caller, with its own code: else the compiler joins them. */
static noinline int read_register(void)
{
	udelay(5);
	return READ_ONCE(io_error);
}

static noinline int reset_chip(void)
{
	int err = read_register();

	if (err)
		pr_debug("reset: %d\n", err);
	return err;
}

static noinline int deep(void)
{
	int err;

	udelay(1);
	err = reset_chip();
	if (err)
		udelay(1);
	return err;
}

static noinline int hw_reset(struct device *dev)
{
	udelay(2);
	return dev ? READ_ONCE(timeout) : 0;
}

static int inner_probe(struct platform_device *pdev)
{
	int err = hw_reset(&pdev->dev);

	if (err)
		udelay(1);
	return err;
}

static struct platform_driver inner_driver = {
	.probe = inner_probe,
	.driver = { .name = "inner" },
};

/* The driver core says nothing of a probe's error to whom registers a driver. */
static noinline int driver(void)
{
	int err;

	device = platform_device_register_simple("inner", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	err = platform_driver_register(&inner_driver);
	has_driver = !err;
	return err;
}

/* But this one answers ENODEV when no device was bound. */
static noinline int bundle(void)
{
	struct platform_device *made;

	made = platform_create_bundle(&inner_driver, inner_probe, NULL, 0, NULL, 0);
	if (IS_ERR(made))
		return PTR_ERR(made);
	return 0;
}

static noinline int allocate(void)
{
	void *memory = kmalloc(KMALLOC_MAX_SIZE, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
	void *more = __vmalloc(1UL << 46, GFP_KERNEL | __GFP_NOWARN);

	kfree(memory);
	if (!more)
		return -ENOMEM;
	vfree(more);
	return 0;
}

static const struct file_operations no_operations;

static noinline int take_number(void)
{
	int err = register_chrdev_region(MKDEV(1, 0), 256, "inner");

	has_range = !err;
	return err;
}

static struct file_system_type same_name = { .name = "proc", .owner = THIS_MODULE };

static noinline int take_name(void)
{
	int err = register_filesystem(&same_name);

	if (!err)
		unregister_filesystem(&same_name);
	return err;
}

static noinline void quick_part(void)
{
	usleep_range(1000, 1100);
}

static noinline int slow_part(void)
{
	msleep(400);
	return 0;
}

static noinline int slow(void)
{
	int err;

	quick_part();
	err = slow_part();
	quick_part();
	return err;
}

/* All calls have one argument in common: the compiler makes a copy for it, with a name of its own. */
static noinline int set_clock(int hz, int unit)
{
	udelay(unit);
	if (hz > 1000)
		return READ_ONCE(range);
	udelay(hz);
	return 0;
}

static noinline int clocks(int more)
{
	int err = set_clock(3 + more, 7);

	if (!err)
		err = set_clock(2000 + more, 7);
	return err;
}

static noinline int rust_probe(int unit) __asm__("_RNvNtCs8VKbRhxuQ2d_5inner6device5probe");

static noinline int rust_probe(int unit)
{
	udelay(unit);
	return READ_ONCE(protocol);
}

static noinline int rust(void)
{
	int err = rust_probe(2);

	if (err)
		udelay(1);
	return err;
}

/* Its garbage in the register of results looks like an error, and is none. */
static noinline void note_nothing(long value)
{
	barrier_data(&value);
	udelay(1);
}

static noinline bool is_odd(int value)
{
	udelay(1);
	return value & 1;
}

static noinline int tolerated(void)
{
	int err = read_register();

	note_nothing(err);
	if (is_odd(err))
		udelay(1);
	return -EINVAL;
}

static int __init inner_init(void)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} ways[] = {
		{ "deep", deep }, { "driver", driver }, { "bundle", bundle }, { "allocate", allocate },
		{ "number", take_number }, { "name", take_name }, { "slow", slow }, { "rust", rust },
		{ "tolerated", tolerated },
	};
	int i;

	if (!strcmp(how, "clocks"))
		return clocks(exit_ms);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		if (!strcmp(how, ways[i].name))
			return ways[i].run();
	return 0;
}

static noinline void drain_queue(void)
{
	msleep(exit_ms);
}

static void __exit inner_exit(void)
{
	if (has_driver)
		platform_driver_unregister(&inner_driver);
	if (!IS_ERR_OR_NULL(device))
		platform_device_unregister(device);
	if (has_range)
		unregister_chrdev_region(MKDEV(1, 0), 256);
	drain_queue();
}

module_init(inner_init);
module_exit(inner_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("fails, or takes long, inside its init or exit");
