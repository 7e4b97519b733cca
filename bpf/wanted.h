/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The one module that a program is about, set by the reader before it is
 * loaded: the kernel's spelling, filled up with NULs. */
#pragma once

#define MODULE_NAME_LEN 56

const volatile __u8 wanted_name[MODULE_NAME_LEN] __attribute__((aligned(8)));

/* is_wanted compares eight bytes at a time: it runs for every module that
 * anything takes or drops. */
static __always_inline bool is_wanted(struct module *mod)
{
	__u64 name[MODULE_NAME_LEN / sizeof(__u64)] = {};
	const volatile __u64 *want = (const volatile __u64 *)wanted_name;

	if (!mod || bpf_probe_read_kernel_str(name, sizeof(name), (void *)mod +
					      bpf_core_field_offset(struct module, name)) <= 0)
		return false;
	for (int i = 0; i < MODULE_NAME_LEN / sizeof(__u64); i++)
		if (name[i] != want[i])
			return false;
	return true;
}
