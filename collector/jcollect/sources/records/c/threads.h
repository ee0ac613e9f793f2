/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins what threads do, as the BPF programs of bpf/threads.c report it, with calls.
 * layout/threads.toml describes the structures.
 */
#ifndef THREADS_H
#define THREADS_H

#include "drain.h"

/* Takes all records out of the ring buffer. Returns DRAIN_MORE if one is still being written,
 * behind which there may be others, and DRAIN_TORN if it cannot be read any further. */
DRAIN_PUBLIC int jprobe_read_threads(struct threads *threads, const struct ring_memory *ring);

/* Adds a record, as jprobe_read_threads does. */
DRAIN_PUBLIC void jprobe_add_thread_record(struct threads *threads,
					   const struct thread_record *record);

/* Takes note that records may be missing between two times. */
DRAIN_PUBLIC void jprobe_lose_thread_records(struct threads *threads, uint64_t begin, uint64_t end);

/* Fills the results of the calls. All records up to the end of the last call must have been read.
 */
DRAIN_PUBLIC void jprobe_explain_calls(const struct threads *threads, struct calls *calls);

#endif
