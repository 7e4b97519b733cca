// SPDX-License-Identifier: GPL-2.0
/*
 * cpudata: has more data for each CPU than all modules together can have, which is 8 KiB
 * where allocations are not profiled.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/percpu.h>

struct room {
	char bytes[12288];
};

static DEFINE_PER_CPU(struct room, room);

static int __init cpudata_init(void)
{
	this_cpu_write(room.bytes[0], 1);
	return 0;
}

static void __exit cpudata_exit(void)
{
}

module_init(cpudata_init);
module_exit(cpudata_exit);

MODULE_DESCRIPTION("Has too much per-CPU data");
MODULE_LICENSE("GPL");
