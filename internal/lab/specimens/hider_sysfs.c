// SPDX-License-Identifier: GPL-2.0
/* hider_sysfs: hides from sysfs. */
#define HIDER_SYSFS
#include "hider.h"
