/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_SLOWEXIT_H
#define SPECIMEN_SLOWEXIT_H

int slowexit_answer(void);

#endif
