// SPDX-License-Identifier: GPL-2.0
/*
 * huge: has so much uninitialized data that the kernel finds no room for it. The
 * file stays small. On x86 modules share 1.5 GiB of addresses at most.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sizes.h>

/* Nothing refers to it: an address past it would not fit into a relocation. */
static char room[SZ_1G + SZ_512M + SZ_128M] __used;

static int __init huge_init(void)
{
	return 0;
}

static void __exit huge_exit(void)
{
}

module_init(huge_init);
module_exit(huge_exit);

MODULE_DESCRIPTION("Does not fit into memory");
MODULE_LICENSE("GPL");
