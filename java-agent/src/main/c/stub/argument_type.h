/* SPDX-License-Identifier: Apache-2.0
 *
 * The types of the arguments of user-defined probes.
 */
#ifndef ARGUMENT_TYPE_H
#define ARGUMENT_TYPE_H

#include <stdint.h>

/* The values of libstapsdt's ArgType_t, and three more. */
enum argument_type {
	ARGUMENT_UINT8 = 1,
	ARGUMENT_INT8 = -1,
	ARGUMENT_UINT16 = 2,
	ARGUMENT_INT16 = -2,
	ARGUMENT_UINT32 = 4,
	ARGUMENT_INT32 = -4,
	ARGUMENT_UINT64 = 8,
	ARGUMENT_INT64 = -8,
	/* Raw IEEE 754 bits: 4 and 8 bytes, unsigned, in the note. */
	ARGUMENT_FLOAT32 = 0x14,
	ARGUMENT_FLOAT64 = 0x18,
	/* Pointer to NUL-terminated UTF-8: 8 bytes in the note. The address is odd if the string
	 * was truncated, and even otherwise. */
	ARGUMENT_STRING = 0x28,
};

/* Returns the size in bytes that a note describes, negative for signed types; 0 for an unknown
 * type. */
int8_t argument_note_size(enum argument_type type);

/* Returns the word narrowed to the size of the type. */
uint64_t argument_narrow(enum argument_type type, uint64_t word);

#endif
