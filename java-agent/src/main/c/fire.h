/* SPDX-License-Identifier: Apache-2.0
 *
 * The native methods of java.jprobe.Fire, which woven methods call.
 */
#ifndef FIRE_H
#define FIRE_H

#include <jni.h>

/* Binds the methods to the class. Returns 0, or -1 with a Java exception pending. */
int fire_bind(JNIEnv *env, jclass fire, jint capture_limit);

#endif
