/* SPDX-License-Identifier: Apache-2.0
 *
 * Native methods of java.jprobe.Fire, which woven methods call.
 */
#ifndef FIRE_H
#define FIRE_H

#include <jni.h>
#include <stdatomic.h>
#include <stdint.h>

/* Shared by all woven methods and the agent's guard, which accesses it with
 * io.jprobe.stub.FireGuard. */
struct fire_guard {
	_Atomic int64_t
		allowance; /* ns that firings may still cost before nothing fires any more */
	_Atomic uint64_t samples;
	_Atomic uint64_t sampled_ns;
	_Atomic uint64_t firing_ns; /* assumed cost of a firing */
};

struct fire_guard *fire_guard(void);

/* Returns the cost of reading the clock, in ns. */
uint64_t fire_clock_ns(void);

/* Binds the methods to the class. Returns 0, or -1 with a Java exception pending. */
int fire_bind(JNIEnv *env, jclass fire, jint capture_limit);

#endif
