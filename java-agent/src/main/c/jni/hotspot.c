/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds offsets of fields by the names in HotSpot's vmStructs.cpp. See hotspot.h.
 */
#define _GNU_SOURCE
#include "hotspot.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

/* One of the JVM's tables, and the offsets of the members of its entries. */
struct table {
	const char *entries;
	size_t stride;
	size_t type; /* or the name, of a constant */
	size_t field;
	size_t offset; /* or the size of a type, or the value of a constant */
	size_t address;
};

static struct {
	int class_klass;
	size_t klass_methods;
	size_t array_length;
	size_t array_methods;
	size_t method_const;
	size_t const_pool;
	size_t const_size;
	size_t const_flags;
	size_t const_name;
	size_t const_signature;
	size_t pool_length;
	size_t pool_tags;
	size_t pool_size;
	size_t array_bytes;
	size_t symbol_length;
	size_t symbol_body;
	int has_parameters;
	int has_generic_signature;
	int has_method_annotations;
	int has_parameter_annotations;
	int has_type_annotations;
	int has_default_annotations;
} at;

/* JVM_CONSTANT_Utf8 (JVMS 4.4.7). */
#define TAG_UTF8 1

static void *library;

/* Returns the value of the JVM's variable of that name; 0 if it does not exist. */
static uint64_t variable(const char *name)
{
	const uint64_t *found = dlsym(library, name);

	return found ? *found : 0;
}

/* The launcher may have loaded the JVM without RTLD_GLOBAL. */
static int find_library(JNIEnv *env)
{
	JavaVM *vm;
	Dl_info info;

	library = RTLD_DEFAULT;
	if (dlsym(library, "gHotSpotVMStructs"))
		return 0;
	if ((*env)->GetJavaVM(env, &vm) || !dladdr((void *)(uintptr_t)(*vm)->GetEnv, &info))
		return -1;
	library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	return library && dlsym(library, "gHotSpotVMStructs") ? 0 : -1;
}

static const char *find_entry(const struct table *table, const char *type, const char *field)
{
	if (!table->entries || !table->stride)
		return NULL;
	for (const char *entry = table->entries;; entry += table->stride) {
		const char *entry_type = *(const char *const *)(entry + table->type);
		const char *entry_field =
			field ? *(const char *const *)(entry + table->field) : NULL;

		if (!entry_type)
			return NULL;
		if (!strcmp(entry_type, type) &&
		    (!field || (entry_field && !strcmp(entry_field, field))))
			return entry;
	}
}

struct wanted_field {
	const char *type;
	const char *field;
	size_t *offset;
};

static int find_fields(void)
{
	const struct table table = {
		.entries = (const char *)variable("gHotSpotVMStructs"),
		.stride = variable("gHotSpotVMStructEntryArrayStride"),
		.type = variable("gHotSpotVMStructEntryTypeNameOffset"),
		.field = variable("gHotSpotVMStructEntryFieldNameOffset"),
		.offset = variable("gHotSpotVMStructEntryOffsetOffset"),
		.address = variable("gHotSpotVMStructEntryAddressOffset"),
	};
	const struct wanted_field wanted[] = {
		{"InstanceKlass", "_methods", &at.klass_methods},
		{"Array<int>", "_length", &at.array_length},
		{"Array<Method*>", "_data", &at.array_methods},
		{"Array<u1>", "_data", &at.array_bytes},
		{"Method", "_constMethod", &at.method_const},
		{"ConstMethod", "_constants", &at.const_pool},
		{"ConstMethod", "_constMethod_size", &at.const_size},
		{"ConstMethod", "_flags", &at.const_flags},
		{"ConstMethod", "_name_index", &at.const_name},
		{"ConstMethod", "_signature_index", &at.const_signature},
		{"ConstantPool", "_length", &at.pool_length},
		{"ConstantPool", "_tags", &at.pool_tags},
		{"Symbol", "_length", &at.symbol_length},
		{"Symbol", "_body", &at.symbol_body},
	};
	const char *entry = find_entry(&table, "java_lang_Class", "_klass_offset");

	if (!entry)
		return -1;
	at.class_klass = **(const int *const *)(entry + table.address);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		entry = find_entry(&table, wanted[i].type, wanted[i].field);
		if (!entry)
			return -1;
		*wanted[i].offset = *(const uint64_t *)(entry + table.offset);
	}
	return 0;
}

static int find_sizes(void)
{
	const struct table table = {
		.entries = (const char *)variable("gHotSpotVMTypes"),
		.stride = variable("gHotSpotVMTypeEntryArrayStride"),
		.type = variable("gHotSpotVMTypeEntryTypeNameOffset"),
		.offset = variable("gHotSpotVMTypeEntrySizeOffset"),
	};
	const char *entry = find_entry(&table, "ConstantPool", NULL);

	if (!entry)
		return -1;
	at.pool_size = *(const uint64_t *)(entry + table.offset);
	return 0;
}

static int find_flags(void)
{
	const struct table table = {
		.entries = (const char *)variable("gHotSpotVMIntConstants"),
		.stride = variable("gHotSpotVMIntConstantEntryArrayStride"),
		.type = variable("gHotSpotVMIntConstantEntryNameOffset"),
		.offset = variable("gHotSpotVMIntConstantEntryValueOffset"),
	};
	const struct {
		const char *name;
		int *value;
	} wanted[] = {
		{"ConstMethod::_has_method_parameters", &at.has_parameters},
		{"ConstMethod::_has_generic_signature", &at.has_generic_signature},
		{"ConstMethod::_has_method_annotations", &at.has_method_annotations},
		{"ConstMethod::_has_parameter_annotations", &at.has_parameter_annotations},
		{"ConstMethod::_has_type_annotations", &at.has_type_annotations},
		{"ConstMethod::_has_default_annotations", &at.has_default_annotations},
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		const char *entry = find_entry(&table, wanted[i].name, NULL);

		if (!entry)
			return -1;
		*wanted[i].value = *(const int *)(entry + table.offset);
	}
	return 0;
}

int hotspot_open(JNIEnv *env)
{
	if (find_library(env) || find_fields() || find_sizes() || find_flags())
		return -1;
	return at.class_klass > 0 ? 0 : -1;
}

int hotspot_klass_offset(void)
{
	return at.class_klass;
}

/* An output buffer that counts the bytes beyond its limit. */
struct packing {
	unsigned char *bytes;
	size_t limit;
	size_t size;
};

static void pack(struct packing *packing, const void *bytes, size_t size)
{
	if (size && packing->size + size <= packing->limit)
		memcpy(packing->bytes + packing->size, bytes, size);
	packing->size += size;
}

static void pack_number(struct packing *packing, unsigned number, size_t size)
{
	const unsigned char bytes[] = {(unsigned char)(number >> 8), (unsigned char)number};

	pack(packing, bytes + sizeof(bytes) - size, size);
}

static const void *pointer(const void *base, size_t offset)
{
	return *(const void *const *)((const char *)base + offset);
}

static unsigned word(const void *base, size_t offset)
{
	return *(const uint16_t *)((const char *)base + offset);
}

static int integer(const void *base, size_t offset)
{
	return *(const int *)((const char *)base + offset);
}

/* Packs the constant pool's text of this index. */
static int pack_text(struct packing *packing, const void *pool, unsigned index)
{
	const char *tags = pointer(pool, at.pool_tags);
	const void *symbol;
	unsigned length;

	if (index == 0 || integer(pool, at.pool_length) <= (int)index ||
	    tags[at.array_bytes + index] != TAG_UTF8)
		return -1;
	symbol = pointer(pool, at.pool_size + index * sizeof(void *));
	if (!symbol)
		return -1;
	length = word(symbol, at.symbol_length);
	pack_number(packing, length, 2);
	pack(packing, (const char *)symbol + at.symbol_body, length);
	return 0;
}

/* Returns the address of the length of the method's inlined parameter table, which precedes it. A
 * ConstMethod ends with a pointer for each kind of annotations. These follow the index of the
 * generic signature, and that follows the table of u2 and its length (constMethod.hpp). */
static const uint16_t *parameters_end(const void *method, int flags)
{
	const char *end =
		(const char *)method + (size_t)integer(method, at.const_size) * sizeof(void *);
	const int annotations[] = {at.has_method_annotations, at.has_parameter_annotations,
				   at.has_type_annotations, at.has_default_annotations};
	const uint16_t *last;

	for (size_t i = 0; i < sizeof(annotations) / sizeof(annotations[0]); i++)
		if (flags & annotations[i])
			end -= sizeof(void *);
	last = (const uint16_t *)end - 1;
	return flags & at.has_generic_signature ? last - 1 : last;
}

static int pack_method(struct packing *packing, const void *method)
{
	const void *pool = pointer(method, at.const_pool);
	int flags = (int)word(method, at.const_flags);
	const uint16_t *end;
	const uint16_t *parameter;

	if (!(flags & at.has_parameters))
		return 0;
	end = parameters_end(method, flags);
	if (*end > UINT8_MAX || pack_text(packing, pool, word(method, at.const_name)) ||
	    pack_text(packing, pool, word(method, at.const_signature)))
		return -1;
	pack_number(packing, *end, 1);
	parameter = end - 2 * *end;
	for (; parameter < end; parameter += 2) {
		pack_number(packing, parameter[0] != 0, 1);
		if (parameter[0] && pack_text(packing, pool, parameter[0]))
			return -1;
		pack_number(packing, parameter[1], 2);
	}
	return 0;
}

ptrdiff_t hotspot_parameters(const void *klass, unsigned char *packed, size_t limit)
{
	struct packing packing = {.bytes = packed, .limit = limit};
	const char *methods = pointer(klass, at.klass_methods);
	int count = integer(methods, at.array_length);

	for (int i = 0; i < count; i++) {
		const void *method =
			pointer(methods, at.array_methods + (size_t)i * sizeof(void *));

		if (pack_method(&packing, pointer(method, at.method_const)))
			return -1;
	}
	return (ptrdiff_t)packing.size;
}
