/* SPDX-License-Identifier: Apache-2.0 */
#include "argument_type.h"

int8_t argument_note_size(enum argument_type type)
{
	switch (type) {
	case ARGUMENT_UINT8:
	case ARGUMENT_INT8:
	case ARGUMENT_UINT16:
	case ARGUMENT_INT16:
	case ARGUMENT_UINT32:
	case ARGUMENT_INT32:
	case ARGUMENT_UINT64:
	case ARGUMENT_INT64:
		return (int8_t)type;
	case ARGUMENT_FLOAT32:
		return 4;
	case ARGUMENT_FLOAT64:
	case ARGUMENT_STRING:
		return 8;
	}
	return 0;
}

uint64_t argument_narrow(enum argument_type type, uint64_t word)
{
	switch (type) {
	case ARGUMENT_UINT8:
		return (uint8_t)word;
	case ARGUMENT_INT8:
		return (uint64_t)(int8_t)word;
	case ARGUMENT_UINT16:
		return (uint16_t)word;
	case ARGUMENT_INT16:
		return (uint64_t)(int16_t)word;
	case ARGUMENT_UINT32:
	case ARGUMENT_FLOAT32:
		return (uint32_t)word;
	case ARGUMENT_INT32:
		return (uint64_t)(int32_t)word;
	default:
		return word;
	}
}
