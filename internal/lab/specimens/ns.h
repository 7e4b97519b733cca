/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_NS_H
#define SPECIMEN_NS_H

#include <linux/version.h>

/*
 * 6.13 made the names of namespaces string literals. 5.10 takes the name as it is
 * written, unexpanded, so that no macro can stand for the name alone.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define EXPORT_IN_NAMESPACE(symbol) EXPORT_SYMBOL_NS_GPL(symbol, "SPECIMEN")
#define IMPORT_NAMESPACE MODULE_IMPORT_NS("SPECIMEN")
#else
#define EXPORT_IN_NAMESPACE(symbol) EXPORT_SYMBOL_NS_GPL(symbol, SPECIMEN)
#define IMPORT_NAMESPACE MODULE_IMPORT_NS(SPECIMEN)
#endif

int specimen_in_namespace(void);

#endif
