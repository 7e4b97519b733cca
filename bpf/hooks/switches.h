/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What switches hooks off.
 *
 * Root can do so for a moment, and nothing would show it afterwards. The file is there
 * for that alone (debugfs: kprobes/enabled), and its hook runs before it is done. Of
 * ftrace (kernel.ftrace_enabled) no function can be probed: the reader looks at it. */
#pragma once

COUNTERS(switched_off, 1, __u64);

SEC("kprobe/write_enabled_file_bool") int kprobe_write_enabled_file_bool(struct pt_regs *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&switched_off, &zero);
	char word = 0;

	/* What the kernel takes for yes (kstrtobool), but "on". */
	bpf_probe_read_user(&word, sizeof(word), (void *)PT_REGS_PARM2(ctx));
	if (word == '1' || word == 'y' || word == 'Y' || word == 't' || word == 'T')
		return 0;
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
