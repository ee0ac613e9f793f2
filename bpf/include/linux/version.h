/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* bcc's headers choose between old and new helpers by version; uprobe programs
 * are not tied to one (the kernel stopped checking in 5.0), so any recent one will do. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 15, 0)
