/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#include <string.h>

#define REPLACEMENT 0xfffd

static int is_high(uint16_t unit)
{
	return (unit & 0xfc00) == 0xd800;
}

static int is_low(uint16_t unit)
{
	return (unit & 0xfc00) == 0xdc00;
}

static size_t encoded_size(uint32_t character)
{
	if (character == 0)
		return 2;
	return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

static void encode(uint32_t character, size_t size, unsigned char *at)
{
	static const unsigned char LEAD[] = {0, 0x00, 0xc0, 0xe0, 0xf0};

	for (size_t i = size - 1; i > 0; i--) {
		at[i] = (unsigned char)(0x80 | (character & 0x3f));
		character >>= 6;
	}
	at[0] = (unsigned char)(LEAD[size] | character);
}

/* Copies characters from 1 to 127, four at a time, up to the first other one. Returns their number.
 */
static size_t copy_ascii(const uint16_t *units, size_t count, char *text)
{
	const uint64_t ones = 0x0001000100010001ULL;
	size_t copied = 0;

	for (; copied + 4 <= count; copied += 4) {
		uint64_t four;
		uint32_t bytes;

		memcpy(&four, units + copied, sizeof(four));
		if (four & (0xff80 * ones) || (four - ones) & ~four & (0x8000 * ones))
			break;
		four = (four | four >> 8) & 0x0000ffff0000ffffULL;
		bytes = (uint32_t)(four | four >> 16);
		memcpy(text + copied, &bytes, sizeof(bytes));
	}
	return copied;
}

size_t utf8_from_utf16(const uint16_t *units, size_t count, char *text, size_t limit,
		       size_t *written)
{
	size_t length = copy_ascii(units, count < limit ? count : limit, text);
	size_t next;

	*written = length;
	for (size_t i = length; i < count; i = next) {
		uint32_t character = units[i];
		size_t size;

		next = i + 1;
		if (is_high(units[i]) && i + 1 < count && is_low(units[i + 1])) {
			character = 0x10000 + ((units[i] & 0x3ffU) << 10) + (units[i + 1] & 0x3ffU);
			next++;
		} else if (is_high(units[i]) || is_low(units[i]))
			character = REPLACEMENT;
		size = encoded_size(character);
		if (length + size > limit)
			break;
		encode(character, size, (unsigned char *)text + length);
		length += size;
		*written = next;
	}
	text[length] = '\0';
	return length;
}
