/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The name of a place in the kernel's code at this moment. The thread that asks is inside
 * the call, so that its code is still there: afterwards another module may lie there. */
#pragma once

/* name_site needs bpf_snprintf (5.13). Before that the text stays empty, and the reader
 * resolves the address. %pB looks one byte before the address to which a call returns. */
static __always_inline void name_site(__u8 *symbol, __u64 site)
{
	static const char format[] = "%pB";

	symbol[0] = 0;
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_snprintf))
		return;
	if (bpf_snprintf((char *)symbol, SITE_LEN, format, &site, sizeof(site)) < 0) {
		symbol[0] = '?';
		symbol[1] = 0;
	}
}
