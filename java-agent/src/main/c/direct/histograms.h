/* SPDX-License-Identifier: Apache-2.0
 *
 * The histograms of the direct lane (layout/direct.toml).
 */
#ifndef DIRECT_HISTOGRAMS_H
#define DIRECT_HISTOGRAMS_H

#include "thread.h"

#include <stdint.h>

/* Creates the memory of the histograms, unless there is some. Returns its memfd, or -1 with errno.
 */
int histograms_open(void);

/* Returns the number of histograms that there is room for; 0 while there is no memory. */
uint32_t histograms_capacity(void);

/* Ends the use of the histograms. */
void histograms_close(void);

/* Unmaps closed histograms that no thread uses any more. Returns true if none is left. */
int histograms_release(void);

/* Counts a duration in ns. Between direct_enter and direct_leave. */
void histograms_count(struct direct_thread *thread, const struct gate_probe *probe, uint64_t ns);

#endif
