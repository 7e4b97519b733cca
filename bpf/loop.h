/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Walks with a bound. The verifier follows each round of a loop, which takes most of the time
 * in which the programs are loaded. From 5.17 (commit e6f2dd0f8067) the kernel can make the
 * rounds itself, and the verifier follows a few. Programs that name a callback, even where
 * they never get, cannot be loaded before 5.13: so there are two builds, and LOOP tells them
 * apart. */
#pragma once

/* REPEAT calls step, which tells whether it was the last one, with the state: most times at
 * most. ROUND(step) stands before it. */
#ifdef LOOP
#define ROUND(step)                                        \
	static long step##_round(__u32 round, void *state) \
	{                                                  \
		return step(state);                        \
	}
#define REPEAT(most, step, state) bpf_loop(most, step##_round, state, 0)
#else
#define ROUND(step)
#define REPEAT(most, step, state)                                    \
	do {                                                         \
		for (int i = 0; i < (most) && !step(state); i++)     \
			;                                            \
	} while (0)
#endif
