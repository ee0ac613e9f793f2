/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "../agent/utf8.h"
#include "../stub/stub_library.h"

#include <string.h>

/* The texts of the strings of one event, each with space for its NUL and an odd start. A thread
 * fires before it copies the next event's strings, so one set per thread suffices. */
static __thread char texts[STUB_MAX_ARGUMENTS][WORDS_MAX_TEXT + 2] __attribute__((aligned(2)));

uint64_t text_of(JNIEnv *env, jstring string, int slot, size_t limit)
{
	jchar units[WORDS_MAX_TEXT];
	char *text = texts[slot];
	jsize length;
	jsize wanted;
	size_t written;
	size_t bytes;

	if (!string)
		return 0;
	length = (*env)->GetStringLength(env, string);
	/* A unit becomes at least one byte, so units beyond the limit are not needed. */
	wanted = (size_t)length > limit ? (jsize)limit : length;
	(*env)->GetStringRegion(env, string, 0, wanted, units);
	bytes = utf8_from_utf16(units, (size_t)wanted, text, limit, &written);
	if (written < (size_t)length) {
		memmove(text + 1, text, bytes + 1);
		text++;
	}
	return (uint64_t)(uintptr_t)text;
}

char *text_buffer(int slot)
{
	return texts[slot];
}
