/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_GROWN_H
#define SPECIMEN_GROWN_H

int grown_more(void);

#endif
