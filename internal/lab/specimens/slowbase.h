/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_SLOWBASE_H
#define SPECIMEN_SLOWBASE_H

int slowbase_answer(void);

#endif
