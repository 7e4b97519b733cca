// SPDX-License-Identifier: GPL-2.0
/* fsmod: the filesystem specimenfs, empty. Each mount of it holds the module. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

#define FSMOD_MAGIC 0x53504543

static int fsmod_fill(struct super_block *sb, struct fs_context *fc)
{
	static const struct tree_descr nothing[] = { { "" } };

	return simple_fill_super(sb, FSMOD_MAGIC, nothing);
}

static int fsmod_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, fsmod_fill);
}

static const struct fs_context_operations fsmod_operations = {
	.get_tree = fsmod_get_tree,
};

static int fsmod_init_context(struct fs_context *fc)
{
	fc->ops = &fsmod_operations;
	return 0;
}

static struct file_system_type fsmod_type = {
	.owner = THIS_MODULE,
	.name = "specimenfs",
	.init_fs_context = fsmod_init_context,
	.kill_sb = kill_anon_super,
};

static int __init fsmod_init(void)
{
	return register_filesystem(&fsmod_type);
}

static void __exit fsmod_exit(void)
{
	unregister_filesystem(&fsmod_type);
}

module_init(fsmod_init);
module_exit(fsmod_exit);

MODULE_DESCRIPTION("An empty filesystem");
MODULE_LICENSE("GPL");
MODULE_ALIAS_FS("specimenfs");
