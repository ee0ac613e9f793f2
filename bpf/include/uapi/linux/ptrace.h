/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * struct pt_regs as the kernel hands it to a uprobe program. Source: the kernel's
 * arch/x86/include/asm/ptrace.h, and struct user_pt_regs in arch/arm64/include/uapi/asm/ptrace.h,
 * both frozen as part of the user-space interface.
 */
#ifndef JPROBE_UAPI_LINUX_PTRACE_H
#define JPROBE_UAPI_LINUX_PTRACE_H

#if defined(JPROBE_X86_64)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(JPROBE_AARCH64)
struct pt_regs {
	unsigned long regs[31];
	unsigned long sp, pc, pstate;
};
#else
#error "jprobe's BPF programs support x86_64 and aarch64"
#endif

#endif
