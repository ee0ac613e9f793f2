/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Included by bcc's headers, used by none of the macros that jprobe's BPF programs use. */
