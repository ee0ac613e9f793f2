/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.StubLibrary and StubDirectory: converts, checks, delegates. Throws
 * io.jprobe.stub.StubException with the reason of a failure.
 */
#include "../agent/semaphores.h"
#include "../stub/stub_directory.h"
#include "../stub/stub_library.h"
#include "jni_binding.h"

#include <jni.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Parses `count` probes in the format "provider\0 name\0 argument-count sizes...". The probes point
 * into the input. Returns 0, or -1 if the bytes do not have exactly this format. */
static int parse_probes(const char *at, size_t size, struct stub_probe *probes, size_t count)
{
	const char *end = at + size;

	for (size_t i = 0; i < count; i++) {
		const char *provider = at;
		const char *name = provider + strnlen(provider, (size_t)(end - provider)) + 1;
		const char *arguments;
		int argument_count;

		if (name >= end)
			return -1;
		arguments = name + strnlen(name, (size_t)(end - name)) + 1;
		if (arguments >= end)
			return -1;
		argument_count = (unsigned char)*arguments++;
		if (argument_count > STUB_MAX_ARGUMENTS || end - arguments < argument_count)
			return -1;
		probes[i].provider = provider;
		probes[i].name = name;
		probes[i].argument_count = argument_count;
		memcpy(probes[i].argument_sizes, arguments, (size_t)argument_count);
		at = arguments + argument_count;
	}
	return at == end ? 0 : -1;
}

/* `contents` is complete except for the probes, which `packed` describes. */
static struct stub_library *load(JNIEnv *env, const char *directory, jint generation,
				 struct stub_contents *contents, const char *packed,
				 size_t packed_size)
{
	struct stub_probe *probes = calloc(contents->count + 1, sizeof(*probes));
	struct stub_library *library = calloc(1, sizeof(*library));
	struct stub_error error = {.text = "out of memory"};

	if (!probes || !library)
		goto failed;
	if (parse_probes(packed, packed_size, probes, contents->count)) {
		stub_fail(&error, "the packed description of %zu probes is malformed",
			  contents->count);
		goto failed;
	}
	contents->probes = probes;
	if (stub_library_load(directory, (unsigned)generation, contents, library, &error))
		goto failed;
	free(probes);
	return library;
failed:
	free(probes);
	free(library);
	throw_new(env, STUB_EXCEPTION, error.text);
	return NULL;
}

NATIVE(jlong, load)(JNIEnv *env, jclass type, jbyteArray directory, jint generation, jint count,
		    jbyteArray probes, jint gates, jbyteArray manifest)
{
	struct stub_contents contents = {.count = (size_t)count, .gates = (size_t)gates};
	size_t packed_size = 0;
	char *path = copy_bytes(env, directory, NULL);
	char *packed = copy_bytes(env, probes, &packed_size);
	char *bytes = copy_bytes(env, manifest, &contents.manifest_size);
	struct stub_library *library = NULL;

	(void)type;
	contents.manifest = bytes;
	if (packed && bytes && !(*env)->ExceptionCheck(env))
		library = load(env, path, generation, &contents, packed, packed_size);
	if (library)
		semaphores_watch(library);
	free(path);
	free(packed);
	free(bytes);
	return (jlong)(uintptr_t)library;
}

static struct stub_library *library_of(jlong handle)
{
	return (struct stub_library *)(uintptr_t)handle;
}

NATIVE(void, unload)(JNIEnv *env, jclass type, jlong handle)
{
	(void)env;
	(void)type;
	semaphores_forget(library_of(handle));
	stub_library_unload(library_of(handle));
	free(library_of(handle));
}

NATIVE(void, retire)(JNIEnv *env, jclass type, jlong handle)
{
	(void)env;
	(void)type;
	semaphores_forget(library_of(handle));
	stub_library_retire(library_of(handle));
}

NATIVE(jlong, stubs)(JNIEnv *env, jclass type, jlong handle)
{
	(void)env;
	(void)type;
	return (jlong)(uintptr_t)library_of(handle)->stubs;
}

NATIVE(jobject, semaphores)(JNIEnv *env, jclass type, jlong handle)
{
	struct stub_library *library = library_of(handle);

	(void)type;
	return (*env)->NewDirectByteBuffer(env, (void *)library->semaphores,
					   (jlong)(library->count * sizeof(uint16_t)));
}

NATIVE(jobject, directSemaphores)(JNIEnv *env, jclass type, jlong handle)
{
	struct stub_library *library = library_of(handle);

	(void)type;
	return (*env)->NewDirectByteBuffer(env, (void *)library->direct,
					   (jlong)(library->count * DIRECT_SEMAPHORES_SIZE));
}

NATIVE(jobject, gates)(JNIEnv *env, jclass type, jlong handle)
{
	struct stub_library *library = library_of(handle);

	(void)type;
	return (*env)->NewDirectByteBuffer(env, library->gates,
					   (jlong)(library->gate_count * GATE_SIZE));
}

NATIVE(jlong, gateAddress)(JNIEnv *env, jclass type, jlong handle)
{
	(void)env;
	(void)type;
	return (jlong)(uintptr_t)library_of(handle)->gates;
}

NATIVE(jobject, states)(JNIEnv *env, jclass type, jlong handle)
{
	struct stub_library *library = library_of(handle);

	(void)type;
	return (*env)->NewDirectByteBuffer(env, (void *)library->states, (jlong)library->count);
}

NATIVE(jstring, path)(JNIEnv *env, jclass type, jlong handle)
{
	(void)type;
	return text_from_utf8(env, library_of(handle)->path);
}

static struct stub_directory *directory_of(jlong handle)
{
	return (struct stub_directory *)(uintptr_t)handle;
}

/* The directory exists until removeDirectory. */
NATIVE(jlong, createDirectory)(JNIEnv *env, jclass type, jbyteArray parent)
{
	struct stub_directory *directory = calloc(1, sizeof(*directory));
	struct stub_error error;
	char *name = copy_bytes(env, parent, NULL);

	(void)type;
	if (name && directory && !stub_directory_create(name, directory, &error)) {
		free(name);
		return (jlong)(uintptr_t)directory;
	}
	if (name)
		throw_new(env, STUB_EXCEPTION,
			  directory ? error.text : "no memory for a stub directory");
	free(name);
	free(directory);
	return 0;
}

NATIVE(jstring, directoryPath)(JNIEnv *env, jclass type, jlong directory)
{
	(void)type;
	return text_from_utf8(env, directory_of(directory)->path);
}

NATIVE(void, removeDirectory)(JNIEnv *env, jclass type, jlong directory)
{
	(void)env;
	(void)type;
	stub_directory_remove(directory_of(directory));
	free(directory_of(directory));
}
