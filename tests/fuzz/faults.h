/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers from a seed, and system and library calls that fail at random: the linker leads
 * the calls of the code under test here (--wrap; FAULTY in fuzz_stapsdt.py names them).
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

void seed_random(uint64_t seed);

/* 0 to bound - 1. The thread that fires has numbers of its own, so that the others stay the same.
 */
uint64_t random_below(uint64_t bound);

/* One in so many of the faulty calls fails from now on; 0: none. */
void fail_one_in(unsigned many);

/* How many calls have failed by now. */
unsigned long failed_calls(void);

#endif
