/* SPDX-License-Identifier: Apache-2.0
 *
 * The native methods of java.jprobe.Fire, which woven methods call.
 */
#ifndef FIRE_H
#define FIRE_H

#include <jni.h>
#include <stdatomic.h>
#include <stdint.h>

/* What is told between all woven methods and the agent's guard; io.jprobe.stub.FireGuard reads
 * it. */
struct fire_guard {
	_Atomic int64_t allowance; /* ns that hits may cost before nothing fires any more */
	_Atomic uint64_t samples;
	_Atomic uint64_t sampled_ns;
	_Atomic uint64_t hit_ns; /* what a hit is taken to cost */
};

struct fire_guard *fire_guard(void);

/* What a reading of the clock costs, in ns. */
uint64_t fire_clock_ns(void);

/* Binds the methods to the class. Returns 0, or -1 with a Java exception pending. */
int fire_bind(JNIEnv *env, jclass fire, jint capture_limit);

#endif
