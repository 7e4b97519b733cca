/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One hook, two ways to attach it. ENTRY and RETURN define the fentry/fexit and
 * the kprobe/kretprobe program of a hook around one body; the reader loads one
 * of the two. A name says the way and the kernel function, so that the reader
 * needs to repeat neither. */
#pragma once

#if defined(__TARGET_ARCH_x86)
#define SYSCALL(name)	     "__x64_sys_" name
#define syscall_arg1(regs)   BPF_CORE_READ(regs, di)
#define syscall_arg2(regs)   BPF_CORE_READ(regs, si)
#define syscall_arg3(regs)   BPF_CORE_READ(regs, dx)
#define syscall_compat(regs) 0
/* The registers of the 32-bit convention, zero-extended. */
#define syscall32_arg1(regs) ((__u32)BPF_CORE_READ(regs, bx))
#define syscall32_arg2(regs) ((__u32)BPF_CORE_READ(regs, cx))
#define syscall32_arg3(regs) ((__u32)BPF_CORE_READ(regs, dx))
/* Where the function that a kprobe is on will return to. */
#define read_caller(ip, ctx)	     BPF_KPROBE_READ_RET_IP(ip, ctx)
#elif defined(__TARGET_ARCH_arm64)
/* The macro of libbpf 1.1 takes arm64's link register for a pointer to it. */
#define read_caller(ip, ctx)	     ((ip) = PT_REGS_RET(ctx))
/* Both tables of arm64 share these functions; the processor state of the caller
 * tells a 32-bit one. */
#define PSR_MODE32_BIT 0x10
#define SYSCALL(name)	     "__arm64_sys_" name
#define syscall_arg1(regs)   BPF_CORE_READ(regs, user_regs.regs[0])
#define syscall_arg2(regs)   BPF_CORE_READ(regs, user_regs.regs[1])
#define syscall_arg3(regs)   BPF_CORE_READ(regs, user_regs.regs[2])
#define syscall_compat(regs) (!!(BPF_CORE_READ(regs, user_regs.pstate) & PSR_MODE32_BIT))
#endif

#define ENTRY(name, target, body)                                  \
	SEC("fentry/" target) int fentry_##name(__u64 *ctx)        \
	{                                                          \
		return body((void *)ctx[0]);                       \
	}                                                          \
	SEC("kprobe/" target) int kprobe_##name(struct pt_regs *ctx) \
	{                                                          \
		return body((void *)PT_REGS_PARM1(ctx));           \
	}

/* The same for bodies that tell whether the actor is still due: see due.h. */
#define ENTRY_THEN_ACTOR(name, target, body)                       \
	SEC("fentry/" target) int fentry_##name(__u64 *ctx)        \
	{                                                          \
		return body((void *)ctx[0]) ? send_due() : 0;      \
	}                                                          \
	SEC("kprobe/" target) int kprobe_##name(struct pt_regs *ctx) \
	{                                                          \
		return body((void *)PT_REGS_PARM1(ctx)) ? go_on_as_actor(ctx) : 0; \
	}

/* For functions whose arguments the body does not want, or which have none. */
#define ENTRY0(name, target, body)                                 \
	SEC("fentry/" target) int fentry_##name(__u64 *ctx)        \
	{                                                          \
		return body();                                     \
	}                                                          \
	SEC("kprobe/" target) int kprobe_##name(struct pt_regs *ctx) \
	{                                                          \
		return body();                                     \
	}

/* nargs is the number of the function's arguments: fexit finds the result
 * behind them. The body takes it as its kernel type, int or a pointer in a u64. */
#define RETURN(name, target, nargs, body)                              \
	SEC("fexit/" target) int fexit_##name(__u64 *ctx)              \
	{                                                              \
		return body(ctx[nargs]);                          \
	}                                                              \
	SEC("kretprobe/" target) int kretprobe_##name(struct pt_regs *ctx) \
	{                                                              \
		return body(PT_REGS_RC(ctx));                     \
	}

/* The same for bodies that tell whether the actor is still due. */
#define RETURN_THEN_ACTOR(name, target, nargs, body)                   \
	SEC("fexit/" target) int fexit_##name(__u64 *ctx)              \
	{                                                              \
		return body(ctx[nargs]) ? send_due() : 0;              \
	}                                                              \
	SEC("kretprobe/" target) int kretprobe_##name(struct pt_regs *ctx) \
	{                                                              \
		return body(PT_REGS_RC(ctx)) ? go_on_as_actor(ctx) : 0; \
	}

/* The return of a function that may sleep for long, a kretprobe in every mode. A
 * trampoline would leave it out silently when somebody attached to or detached from the
 * function meanwhile: the kernel has threads that are inside return past the fexit
 * programs of the old trampoline (bpf_tramp_image_put, from 5.12, commit e21aa341785c). */
#define SLEEPER(name, target, body)                                    \
	SEC("kretprobe/" target) int kretprobe_##name(struct pt_regs *ctx) \
	{                                                              \
		return body(PT_REGS_RC(ctx));                          \
	}
