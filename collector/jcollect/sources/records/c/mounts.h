/* SPDX-License-Identifier: Apache-2.0
 *
 * Which virtual thread was on which carrier, and what their calls have done there. For threads.c.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include "threads.h"

/* In threads.c. Returns 1 if records may be missing between two times. */
int overlaps_loss(const struct threads *threads, uint64_t begin, uint64_t end);

/* Adds a record of the kind MOUNTED or UNMOUNTED, with a thread ID below threads->tids. */
void add_mount(struct threads *threads, const struct thread_record *record);

/* Fills the results of a call by a virtual thread. */
void explain_virtual(const struct threads *threads, struct calls *calls, uint64_t i);

#endif
