// SPDX-License-Identifier: GPL-2.0
/* hider_list: hides from the list of modules. */
#define HIDER_LIST
#include "hider.h"
