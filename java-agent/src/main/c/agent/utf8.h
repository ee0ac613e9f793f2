/* SPDX-License-Identifier: Apache-2.0
 *
 * Java's UTF-16 to real UTF-8, as tracers and terminals read it (JNI's "modified UTF-8" is not).
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Writes at most `limit` bytes of text and a NUL; whole characters only. A surrogate without
 * its partner becomes U+FFFD. U+0000 becomes the bytes C0 80, which occur in no other text, because
 * the text ends at its NUL. Returns the length without the NUL, and the number of units that the
 * text stands for in `*written`. */
size_t utf8_from_utf16(const uint16_t *units, size_t count, char *text, size_t limit,
		       size_t *written);

#endif
