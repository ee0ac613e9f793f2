/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "../agent/utf8.h"
#include "../stub/stub_library.h"

#include <string.h>

/* The texts of the strings that one event passes, each with room for its NUL and for being odd. A
 * thread fills them and fires before it can come here again, so one set for each is enough. */
static __thread char texts[STUB_MAX_ARGUMENTS][TEXT_MAX_LIMIT + 2] __attribute__((aligned(2)));

uint64_t text_of(JNIEnv *env, jstring string, int slot, size_t limit)
{
	jchar units[TEXT_MAX_LIMIT];
	char *text = texts[slot];
	jsize length;
	jsize wanted;
	size_t written;
	size_t bytes;

	if (!string)
		return 0;
	length = (*env)->GetStringLength(env, string);
	/* A unit makes at least one byte: more units than the limit cannot be needed. */
	wanted = (size_t)length > limit ? (jsize)limit : length;
	(*env)->GetStringRegion(env, string, 0, wanted, units);
	bytes = utf8_from_utf16(units, (size_t)wanted, text, limit, &written);
	if (written < (size_t)length) {
		memmove(text + 1, text, bytes + 1);
		text++;
	}
	return (uint64_t)(uintptr_t)text;
}
