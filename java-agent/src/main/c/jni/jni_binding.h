/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions that all JNI bindings share.
 */
#ifndef JNI_BINDING_H
#define JNI_BINDING_H

#include <jni.h>
#include <stddef.h>

#define STUB_EXCEPTION "io/jprobe/stub/StubException"
#define ILLEGAL_ARGUMENT "java/lang/IllegalArgumentException"

/* Returns the Java string of a text in standard UTF-8; NULL with an exception pending. */
jstring text_from_utf8(JNIEnv *env, const char *utf8);

/* Throws an exception of the type, whose constructor takes the reason, in standard UTF-8. */
void throw_new(JNIEnv *env, const char *type, const char *reason);

/* Returns a copy of a Java byte array followed by a NUL, which the caller frees, and its length in
 * `*size` unless that is NULL. Returns NULL for null, or with an exception pending. */
char *copy_bytes(JNIEnv *env, jbyteArray array, size_t *size);

#endif
