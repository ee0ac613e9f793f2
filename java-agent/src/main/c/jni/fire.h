/* SPDX-License-Identifier: Apache-2.0
 *
 * Native methods of java.jprobe.Fire, which woven methods call.
 */
#ifndef FIRE_H
#define FIRE_H

#include <jni.h>
#include <jprobe/layout.h>
#include <stdint.h>

/* The structure is in layout/gate.toml, fire_guard: io.jprobe.stub.FireGuard reads it as well. */
struct fire_guard *fire_guard(void);

/* Returns the cost of reading the clock, in ns. */
uint64_t fire_clock_ns(void);

/* Changes the maximum length of texts in bytes. For any thread. */
void fire_limit_text(jint limit);

/* Binds the methods to the class. Returns 0, or -1 with a Java exception pending. */
int fire_bind(JNIEnv *env, jclass fire, jint capture_limit);

#endif
