// SPDX-License-Identifier: GPL-2.0
/* chardev: makes /dev/specimen_chardev, which holds the module while it is open. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

/* Reading gives the end of the file; opening needs no function of ours. */
static ssize_t chardev_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	return 0;
}

static const struct file_operations chardev_operations = {
	.owner = THIS_MODULE,
	.read = chardev_read,
};

static struct miscdevice chardev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "specimen_chardev",
	.fops = &chardev_operations,
};

module_misc_device(chardev);

MODULE_DESCRIPTION("Makes a character device");
MODULE_LICENSE("GPL");
