/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers from a seed, and system and library calls that fail at random. The linker
 * redirects calls of the tested code to these (--wrap; FAULTY in fuzz_stapsdt.py lists them).
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

void seed_random(uint64_t seed);

/* Returns a number from 0 to bound - 1. The firing thread has a separate sequence, so that it
 * does not affect other threads. */
uint64_t random_below(uint64_t bound);

/* Makes one in `many` of the faulty calls fail from now on; 0: none. */
void fail_one_in(unsigned many);

/* Returns the number of calls that have failed. */
unsigned long failed_calls(void);

#endif
