/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of user-defined probes (io.jprobe.stub.NativeProvider): converts values to the words
 * that a probe passes, and delegates. provider.c makes firing safe during an unload; the
 * reachability of the Java objects prevents a destroy.
 */
#include "../stub/provider.h"
#include "jni_binding.h"
#include "text.h"

#include <jni.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_NativeProvider_##name

static struct provider *provider_of(jlong handle)
{
	return (struct provider *)(uintptr_t)handle;
}

static struct provider_probe *probe_of(jlong handle)
{
	return (struct provider_probe *)(uintptr_t)handle;
}

NATIVE(jlong, create)(JNIEnv *env, jclass type, jbyteArray name, jbyteArray directory)
{
	struct provider *provider = NULL;
	struct stub_error error;
	char *provider_name = copy_bytes(env, name, NULL);
	char *parent = copy_bytes(env, directory, NULL);

	(void)type;
	if (provider_name && parent) {
		provider_place_in(parent);
		provider = provider_create(provider_name, &error);
		if (!provider)
			throw_new(env, ILLEGAL_ARGUMENT, error.text);
	}
	free(provider_name);
	free(parent);
	return (jlong)(uintptr_t)provider;
}

NATIVE(jlong, add)(JNIEnv *env, jclass type, jlong provider, jbyteArray name, jbyteArray types)
{
	enum argument_type arguments[STUB_MAX_ARGUMENTS];
	struct provider_probe *probe = NULL;
	struct stub_error error;
	size_t count = 0;
	char *probe_name = copy_bytes(env, name, NULL);
	char *codes = copy_bytes(env, types, &count);

	(void)type;
	if (probe_name && codes) {
		for (size_t i = 0; i < count && i < STUB_MAX_ARGUMENTS; i++)
			arguments[i] = (enum argument_type)(signed char)codes[i];
		probe = provider_add(provider_of(provider), probe_name, (int)count, arguments,
				     &error);
		if (!probe)
			throw_new(env, ILLEGAL_ARGUMENT, error.text);
	}
	free(probe_name);
	free(codes);
	return (jlong)(uintptr_t)probe;
}

NATIVE(void, load)(JNIEnv *env, jclass type, jlong provider)
{
	struct stub_error error;

	(void)type;
	if (provider_load(provider_of(provider), &error))
		throw_new(env, STUB_EXCEPTION, error.text);
}

NATIVE(jobject, semaphore)(JNIEnv *env, jclass type, jlong probe)
{
	(void)type;
	return (*env)->NewDirectByteBuffer(env, (void *)probe_of(probe)->semaphore,
					   sizeof(uint16_t));
}

NATIVE(void, unload)(JNIEnv *env, jclass type, jlong provider)
{
	(void)env;
	(void)type;
	provider_unload(provider_of(provider));
}

NATIVE(void, destroy)(JNIEnv *env, jclass type, jlong provider)
{
	(void)env;
	(void)type;
	provider_destroy(provider_of(provider));
}

/* Rounds the bits of a double to the bits of a float. */
static uint64_t float_bits(uint64_t bits)
{
	double wide;
	float narrow;
	uint32_t narrow_bits;

	memcpy(&wide, &bits, sizeof(wide));
	narrow = (float)wide;
	memcpy(&narrow_bits, &narrow, sizeof(narrow));
	return narrow_bits;
}

/* `strings` may be NULL if the probe has none. */
static void fire(JNIEnv *env, jlong handle, jlong thread, const jlong *values,
		 const jstring *strings)
{
	struct provider_probe *probe = probe_of(handle);
	uint64_t words[STUB_MAX_ARGUMENTS];

	for (int i = 0; i < probe->argument_count; i++) {
		if (probe->types[i] == ARGUMENT_STRING)
			words[i] = text_of(env, strings[i], i, WORDS_MAX_TEXT);
		else if (probe->types[i] == ARGUMENT_FLOAT32)
			words[i] = float_bits((uint64_t)values[i]);
		else
			words[i] = (uint64_t)values[i];
	}
	provider_fire(probe, words, (uint64_t)thread);
}

NATIVE(void, fire)(JNIEnv *env, jclass type, jlong probe, jlong thread, jlong a, jlong b, jlong c,
		   jlong d, jlong e, jlong f)
{
	const jlong values[] = {a, b, c, d, e, f};

	(void)type;
	fire(env, probe, thread, values, NULL);
}

NATIVE(void, fireStrings)(JNIEnv *env, jclass type, jlong probe, jlong thread, jlong a, jlong b,
			  jlong c, jstring x, jstring y, jstring z)
{
	const jlong values[] = {a, b, c};
	const jstring strings[] = {x, y, z};

	(void)type;
	fire(env, probe, thread, values, strings);
}

NATIVE(void, fireAll)(JNIEnv *env, jclass type, jlong probe, jlong thread, jlongArray words,
		      jobjectArray texts)
{
	jlong values[STUB_MAX_ARGUMENTS];
	jstring strings[STUB_MAX_ARGUMENTS];
	jsize count = probe_of(probe)->argument_count;

	(void)type;
	(*env)->GetLongArrayRegion(env, words, 0, count, values);
	for (jsize i = 0; i < count; i++)
		strings[i] = (*env)->GetObjectArrayElement(env, texts, i);
	fire(env, probe, thread, values, strings);
}
