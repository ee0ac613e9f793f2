/* SPDX-License-Identifier: Apache-2.0
 *
 * Java's UTF-16 to real UTF-8, as tracers and terminals read it (JNI's "modified UTF-8" is not).
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Writes at most `limit` bytes of text and a NUL; whole characters only. A surrogate without
 * its partner becomes U+FFFD. Returns the length without the NUL. */
size_t utf8_from_utf16(const uint16_t *units, size_t count, char *text, size_t limit);

#endif
