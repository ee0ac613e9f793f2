/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies Java strings to memory where tracers can read them until the thread fires again.
 */
#ifndef TEXT_H
#define TEXT_H

#include <jni.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the address of the string's text in UTF-8, truncated to `limit` bytes at a character
 * boundary; 0 for null. The address is odd if the text was truncated and even otherwise: tracers
 * need no extra read for the flag and may ignore it. Each thread has one text per slot, 0 to
 * STUB_MAX_ARGUMENTS - 1, which is valid until the next call for the slot. */
uint64_t text_of(JNIEnv *env, jstring string, int slot, size_t limit);

/* Returns the memory of this thread's text in a slot, for code that writes it by itself: the string
 * limit, a NUL and one more byte, by which it moves a truncated text. The address is even. */
char *text_buffer(int slot);

#endif
