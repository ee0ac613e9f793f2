/* SPDX-License-Identifier: Apache-2.0
 *
 * What the JNI faces of stub libraries and of providers share.
 */
#ifndef JNI_BINDING_H
#define JNI_BINDING_H

#include <jni.h>
#include <stddef.h>

#define STUB_EXCEPTION "io/jprobe/stub/StubException"
#define ILLEGAL_ARGUMENT "java/lang/IllegalArgumentException"

void throw_new(JNIEnv *env, const char *type, const char *reason);

/* A copy of a Java byte array with a NUL after it, to be freed, and its length in `*size` unless
 * that is NULL. NULL for null or with an exception pending. */
char *copy_bytes(JNIEnv *env, jbyteArray array, size_t *size);

#endif
