/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOSE_LINKS_H
#define CLOSE_LINKS_H

#include <stddef.h>

/* Closes the links, whose numbers are in ascending order, and waits until the kernel has removed
 * their uprobes. It does so even if this process is killed meanwhile. Returns 0, or an errno with
 * all links still open. */
__attribute__((visibility("default"))) int jprobe_close_links(const int *links, size_t count);

#endif
