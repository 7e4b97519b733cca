/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef SPECIMEN_OWNED_H
#define SPECIMEN_OWNED_H

int owned_answer(void);
int owned_lock(void);

#endif
