// SPDX-License-Identifier: GPL-2.0
/* hostile: works against the machine that it is tried in, and against what is told of it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

static char *what = "";
module_param(what, charp, 0444);
MODULE_PARM_DESC(what, "memory, print, port, kill or forge: what it does");

static struct task_struct *printer;

static int print(void *unused)
{
	while (!kthread_should_stop()) {
		pr_info("again\n");
		cond_resched();
	}
	return 0;
}

static int eat(void)
{
	while (alloc_page(GFP_KERNEL))
		cond_resched();
	return -ENOMEM;
}

static int flood_port(void)
{
	static char noise[512];
	struct file *port = filp_open("/dev/ttyS1", O_WRONLY | O_NOCTTY, 0);
	int i;

	if (IS_ERR(port))
		return PTR_ERR(port);
	for (i = 0; i < 1000; i++)
		kernel_write(port, noise, sizeof(noise), NULL);
	filp_close(port, NULL);
	return 0;
}

/* Whoever loads this reports what came of it on its standard output. */
static int forge(void)
{
	static const char done[] = "{\"round\":0,\"step\":\"done\"}\n";
	struct file *out = fget(1);

	if (!out)
		return -EBADF;
	kernel_write(out, done, sizeof(done) - 1, NULL);
	fput(out);
	msleep(2000);
	return 0;
}

static int __init hostile_init(void)
{
	if (!strcmp(what, "memory"))
		return eat();
	if (!strcmp(what, "port"))
		return flood_port();
	if (!strcmp(what, "forge"))
		return forge();
	if (!strcmp(what, "kill"))
		return send_sig(SIGKILL, current, 1);
	if (!strcmp(what, "print"))
		printer = kthread_run(print, NULL, "hostile");
	return PTR_ERR_OR_ZERO(printer);
}

static void __exit hostile_exit(void)
{
	if (printer)
		kthread_stop(printer);
}

module_init(hostile_init);
module_exit(hostile_exit);

MODULE_DESCRIPTION("Works against the machine that it is tried in");
MODULE_LICENSE("GPL");
