/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_NS_H
#define SPECIMEN_NS_H

#include <linux/version.h>

/* 6.13 made the names of namespaces string literals. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define SPECIMEN_NS "SPECIMEN"
#else
#define SPECIMEN_NS SPECIMEN
#endif

int specimen_in_namespace(void);

#endif
