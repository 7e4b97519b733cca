/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_BASE_H
#define SPECIMEN_BASE_H

int base_answer(void);

#endif
