/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Instruction classes of classic BPF, which bcc's bpf.h builds upon: none is used here. */
