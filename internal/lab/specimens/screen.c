// SPDX-License-Identifier: GPL-2.0
/*
 * screen: a frame buffer without memory, which the kernel shows its consoles on.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/fb.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#define WIDTH 640
#define HEIGHT 400

static void screen_fill(struct fb_info *info, const struct fb_fillrect *r)
{
}

static void screen_copy(struct fb_info *info, const struct fb_copyarea *a)
{
}

static void screen_draw(struct fb_info *info, const struct fb_image *i)
{
}

static const struct fb_ops screen_ops = {
	.owner = THIS_MODULE,
	.fb_fillrect = screen_fill,
	.fb_copyarea = screen_copy,
	.fb_imageblit = screen_draw,
};

static int screen_probe(struct platform_device *dev)
{
	struct fb_info *info = framebuffer_alloc(0, &dev->dev);
	int err;

	if (!info)
		return -ENOMEM;
	info->fbops = (struct fb_ops *)&screen_ops;
	strscpy(info->fix.id, "screen", sizeof(info->fix.id));
	info->fix.smem_len = WIDTH * HEIGHT;
	info->fix.line_length = WIDTH;
	info->fix.type = FB_TYPE_PACKED_PIXELS;
	info->fix.visual = FB_VISUAL_TRUECOLOR;
	info->var.xres = info->var.xres_virtual = WIDTH;
	info->var.yres = info->var.yres_virtual = HEIGHT;
	info->var.bits_per_pixel = 8;
	info->var.red.length = info->var.green.length = 3;
	info->var.blue.length = 2;
	err = register_framebuffer(info);
	if (err) {
		framebuffer_release(info);
		return err;
	}
	platform_set_drvdata(dev, info);
	return 0;
}

static struct platform_driver screen_driver = {
	.probe = screen_probe,
	.driver = { .name = "screen" },
};

static struct platform_device *screen;

static int __init screen_init(void)
{
	int err = platform_driver_register(&screen_driver);

	if (err)
		return err;
	screen = platform_device_register_simple("screen", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(screen)) {
		platform_driver_unregister(&screen_driver);
		return PTR_ERR(screen);
	}
	return 0;
}

static void __exit screen_exit(void)
{
	struct fb_info *info = platform_get_drvdata(screen);

	/* The kernel's callback on removal has another type from 6.11 on: the buffer goes first. */
	if (info) {
		unregister_framebuffer(info);
		framebuffer_release(info);
	}
	platform_device_unregister(screen);
	platform_driver_unregister(&screen_driver);
}

module_init(screen_init);
module_exit(screen_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A frame buffer for consoles");
