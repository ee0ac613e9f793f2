/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The only configuration symbol that bcc's own headers ask for. */
#define CONFIG_BPF_SYSCALL 1
