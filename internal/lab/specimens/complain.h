/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SPECIMEN_COMPLAIN_H
#define SPECIMEN_COMPLAIN_H

/* Does what the word says, and returns where the kernel survives that. */
void complain_now(const char *how);

#endif
