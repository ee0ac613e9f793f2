/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the part of the protobuf wire format that a manifest of user-defined probes needs. The
 * length of a message precedes it, so each message is written twice: first to measure it.
 */
#include "manifest.h"

#include "provider.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum wire_type { VARINT = 0, BYTES = 2 };

/* Field numbers of Manifest, TracedMethod, Slot and Value. */
enum {
	MANIFEST_VERSION = 1,
	MANIFEST_GENERATION = 3,
	MANIFEST_METHODS = 5,
	MANIFEST_PROBES = 6,
	METHOD_CLASS_NAME = 1,
	METHOD_METHOD = 3,
	SLOT_METHOD = 1,
	SLOT_KIND = 2,
	SLOT_VALUES = 3,
	VALUE_NAME = 1,
	VALUE_JAVA_TYPE = 2,
	VALUE_TYPE = 3,
};

struct output {
	unsigned char *at; /* NULL: measure only */
	size_t size;
};

static void write_byte(struct output *output, unsigned byte)
{
	if (output->at)
		output->at[output->size] = (unsigned char)byte;
	output->size++;
}

static void write_varint(struct output *output, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		write_byte(output, (unsigned)(number & 0x7f) | 0x80);
	write_byte(output, (unsigned)number);
}

static void write_number(struct output *output, unsigned field, uint64_t number)
{
	write_varint(output, field << 3 | VARINT);
	write_varint(output, number);
}

static void write_text(struct output *output, unsigned field, const char *text)
{
	size_t length = strlen(text);

	write_varint(output, field << 3 | BYTES);
	write_varint(output, length);
	if (output->at)
		memcpy(output->at + output->size, text, length);
	output->size += length;
}

/* Data of one message. */
struct part {
	const char *provider;
	const struct provider_probe *probe;
	size_t index;
};

typedef void (*writer)(struct output *output, const struct part *part);

static void write_message(struct output *output, unsigned field, writer write,
			  const struct part *part)
{
	struct output measure = {NULL, 0};

	write(&measure, part);
	write_varint(output, field << 3 | BYTES);
	write_varint(output, measure.size);
	write(output, part);
}

static void write_method(struct output *output, const struct part *part)
{
	write_text(output, METHOD_CLASS_NAME, part->provider);
	write_text(output, METHOD_METHOD, part->probe->name);
}

/* Writes the type by its name in libstapsdt and its number in jprobe.v1.ValueType. */
static void write_type(struct output *output, enum argument_type type)
{
	static const struct {
		enum argument_type type;
		const char *name;
		unsigned number;
	} TYPES[] = {
		{ARGUMENT_INT8, "int8", VALUE_TYPE_BYTE},
		{ARGUMENT_INT16, "int16", VALUE_TYPE_SHORT},
		{ARGUMENT_INT32, "int32", VALUE_TYPE_INT},
		{ARGUMENT_INT64, "int64", VALUE_TYPE_LONG},
		{ARGUMENT_FLOAT32, "float32", VALUE_TYPE_FLOAT},
		{ARGUMENT_FLOAT64, "float64", VALUE_TYPE_DOUBLE},
		{ARGUMENT_STRING, "string", VALUE_TYPE_STRING},
		{ARGUMENT_UINT8, "uint8", VALUE_TYPE_UNSIGNED},
		{ARGUMENT_UINT16, "uint16", VALUE_TYPE_UNSIGNED},
		{ARGUMENT_UINT32, "uint32", VALUE_TYPE_UNSIGNED},
		{ARGUMENT_UINT64, "uint64", VALUE_TYPE_UNSIGNED},
	};

	for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
		if (TYPES[i].type == type) {
			write_text(output, VALUE_JAVA_TYPE, TYPES[i].name);
			write_number(output, VALUE_TYPE, TYPES[i].number);
		}
	}
}

static void write_value(struct output *output, const struct part *part)
{
	char name[] = "arg00";
	size_t digits = part->index >= 10;

	name[3] = (char)('0' + (digits ? part->index / 10 : part->index));
	name[4] = digits ? (char)('0' + part->index % 10) : '\0';
	write_text(output, VALUE_NAME, name);
	write_type(output, part->probe->types[part->index]);
}

static void write_slot(struct output *output, const struct part *part)
{
	write_number(output, SLOT_METHOD, part->index);
	write_number(output, SLOT_KIND, PROBE_KIND_MARK);
	for (size_t i = 0; i < (size_t)part->probe->argument_count; i++)
		write_message(output, SLOT_VALUES, write_value,
			      &(struct part){.probe = part->probe, .index = i});
}

static void write_manifest(struct output *output, const char *provider, unsigned generation,
			   struct provider_probe *const *probes, size_t count)
{
	write_number(output, MANIFEST_VERSION, STUB_LIBRARY_VERSION);
	write_number(output, MANIFEST_GENERATION, generation);
	for (size_t i = 0; i < count; i++)
		write_message(output, MANIFEST_METHODS, write_method,
			      &(struct part){provider, probes[i], i});
	for (size_t i = 0; i < count; i++)
		write_message(output, MANIFEST_PROBES, write_slot,
			      &(struct part){provider, probes[i], i});
}

void *manifest_of_marks(const char *provider, unsigned generation,
			struct provider_probe *const *probes, size_t count, size_t *size)
{
	struct output output = {NULL, 0};

	write_manifest(&output, provider, generation, probes, count);
	output.at = malloc(output.size);
	if (!output.at)
		return NULL;
	*size = output.size;
	output.size = 0;
	write_manifest(&output, provider, generation, probes, count);
	return output.at;
}
