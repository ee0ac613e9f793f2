/* SPDX-License-Identifier: Apache-2.0
 *
 * Converts Java's UTF-16 to standard UTF-8, which tracers and terminals read, unlike JNI's
 * "modified UTF-8".
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Writes whole characters, at most `limit` bytes, and a NUL. An unpaired surrogate becomes U+FFFD.
 * U+0000 becomes the bytes C0 80, which no other character has, because the text ends at its NUL.
 * Returns the length without the NUL, and the number of converted units in `*written`. */
size_t utf8_from_utf16(const uint16_t *units, size_t count, char *text, size_t limit,
		       size_t *written);

#endif
