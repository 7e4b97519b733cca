/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_FAILBASE_H
#define SPECIMEN_FAILBASE_H

int failbase_answer(void);

#endif
