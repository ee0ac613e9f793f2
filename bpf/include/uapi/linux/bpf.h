/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* bcc carries the BPF interface of its own version; take that one. */
#include <bcc/bpf.h>
