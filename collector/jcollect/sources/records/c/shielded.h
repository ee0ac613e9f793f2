/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHIELDED_H
#define SHIELDED_H

#include <stddef.h>

#define SHIELDED_PUBLIC __attribute__((visibility("default")))

/* Makes the system call bpf(BPF_LINK_CREATE, attributes, size). Returns the link's
 * descriptor, or a negative errno. If this process is killed meanwhile, the link is closed. */
SHIELDED_PUBLIC int jprobe_create_link(const void *attributes, size_t size);

/* Closes the links, whose numbers are in ascending order, and waits until the kernel has removed
 * their uprobes. It does so even if this process is killed meanwhile. */
SHIELDED_PUBLIC void jprobe_close_links(const int *links, size_t count);

#endif
