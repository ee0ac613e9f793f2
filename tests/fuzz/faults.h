/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers from a seed, and system and library calls that fail at random. The linker
 * redirects calls of the code under test to these (--wrap; FAULTY in fuzz_stapsdt.py lists them).
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

void seed_random(uint64_t seed);

/* Returns a number from 0 to bound - 1. The firing thread has its own numbers, so that those of the
 * others stay the same. */
uint64_t random_below(uint64_t bound);

/* Makes one in `many` of the faulty calls fail from now on; 0: none. */
void fail_one_in(unsigned many);

/* Returns how many calls have failed by now. */
unsigned long failed_calls(void);

#endif
