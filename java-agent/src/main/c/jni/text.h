/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts of Java strings where tracers can read them, until the thread fires again.
 */
#ifndef TEXT_H
#define TEXT_H

#include <jni.h>
#include <stddef.h>
#include <stdint.h>

/* Contract 2 of the design: strings are cut at a limit of at most this many bytes. */
#define TEXT_MAX_LIMIT 1024

/* The address of the string's text in UTF-8, cut at `limit` bytes at a character boundary; 0 for
 * null. A text that was cut begins at an odd address, others at an even one: the mark costs no
 * tracer a read, and those that do not know it take the text as it is. Each thread has one text for
 * each slot, 0 to STUB_MAX_ARGUMENTS - 1, which stays until its next one. */
uint64_t text_of(JNIEnv *env, jstring string, int slot, size_t limit);

#endif
