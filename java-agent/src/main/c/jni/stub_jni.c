/* SPDX-License-Identifier: Apache-2.0
 *
 * The JNI face of stub libraries: converts, checks, delegates. Failures become a
 * io.jprobe.stapsdt.StapsdtException with the reason.
 */
#include "../agent/cpus.h"
#include "../agent/semaphores.h"
#include "../agent/standard_error.h"
#include "../stub/stub_directory.h"
#include "../stub/stub_library.h"
#include "fire.h"
#include "hotspot.h"
#include "jni_binding.h"

#include <jni.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Reads `count` probes out of "provider\0 name\0 argument-count sizes..." and points into it.
 * Returns 0, or -1 if the bytes are not exactly that. */
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

/* `contents` lacks the probes alone, which are described by `packed`. */
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

NATIVE(jobject, gates)(JNIEnv *env, jclass type, jlong handle)
{
	struct stub_library *library = library_of(handle);

	(void)type;
	return (*env)->NewDirectByteBuffer(env, library->gates,
					   (jlong)(library->gate_count * STUB_GATE_SIZE));
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
	return (*env)->NewStringUTF(env, library_of(handle)->path);
}

static struct stub_directory *directory_of(jlong handle)
{
	return (struct stub_directory *)(uintptr_t)handle;
}

/* Lives until removeDirectory. */
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
	return (*env)->NewStringUTF(env, directory_of(directory)->path);
}

NATIVE(void, removeDirectory)(JNIEnv *env, jclass type, jlong directory)
{
	(void)env;
	(void)type;
	stub_directory_remove(directory_of(directory));
	free(directory_of(directory));
}

/* Defines a class in the boot loader without adding to its search path, which would cost the
 * application its class data sharing (HotSpot turns it off when the path grows). */
NATIVE(jclass, defineInBootLoader)(JNIEnv *env, jclass type, jbyteArray name, jbyteArray bytes)
{
	size_t size = 0;
	char *class_name = copy_bytes(env, name, NULL);
	char *class_bytes = copy_bytes(env, bytes, &size);
	jclass defined = NULL;

	(void)type;
	if (class_name && class_bytes)
		defined = (*env)->DefineClass(env, class_name, NULL, (const jbyte *)class_bytes,
					      (jsize)size);
	free(class_name);
	free(class_bytes);
	return defined;
}

NATIVE(void, bindFire)(JNIEnv *env, jclass type, jclass fire, jint capture_limit)
{
	(void)type;
	fire_bind(env, fire, capture_limit);
}

NATIVE(jobject, fireGuard)(JNIEnv *env, jclass type)
{
	(void)type;
	return (*env)->NewDirectByteBuffer(env, fire_guard(), sizeof(struct fire_guard));
}

NATIVE(jlong, clockNanos)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	return (jlong)fire_clock_ns();
}

NATIVE(jlong, cpuQuota)(JNIEnv *env, jclass type, jbyteArray root)
{
	char *path = copy_bytes(env, root, NULL);
	jlong quota = CPUS_NO_QUOTA;

	(void)type;
	if (path)
		quota = cpus_quota(path);
	free(path);
	return quota;
}

NATIVE(jlong, cpusAllowed)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	return cpus_allowed();
}

NATIVE(jlong, cpuUsed)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	return cpus_used();
}

NATIVE(void, awaitChange)(JNIEnv *env, jclass type, jlong most, jlong period)
{
	(void)env;
	(void)type;
	semaphores_await(most, period);
}

NATIVE(void, wake)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	semaphores_wake();
}

NATIVE(void, openStandardError)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	standard_error_open();
}

NATIVE(void, writeLine)(JNIEnv *env, jclass type, jbyteArray line)
{
	char text[STANDARD_ERROR_MAX_LINE];
	jsize length = (*env)->GetArrayLength(env, line);

	(void)type;
	if (length > STANDARD_ERROR_MAX_LINE)
		length = STANDARD_ERROR_MAX_LINE;
	(*env)->GetByteArrayRegion(env, line, 0, length, (jbyte *)text);
	standard_error_write(text, (size_t)length);
}

NATIVE(void, countLostLine)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	standard_error_lose();
}

NATIVE(void, reportLostLines)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	standard_error_report();
}

/* Throwable.getMessage itself, and not what a class of the program makes of it. */
NATIVE(jstring, messageOf)(JNIEnv *env, jclass type, jthrowable problem)
{
	jclass throwable = (*env)->FindClass(env, "java/lang/Throwable");
	jmethodID get_message = throwable ? (*env)->GetMethodID(env, throwable, "getMessage",
								"()Ljava/lang/String;")
					  : NULL;

	(void)type;
	if (!get_message)
		return NULL;
	return (*env)->CallNonvirtualObjectMethod(env, problem, throwable, get_message);
}

/* By which native code reads a field that Java does not have: of a class, which the collector may
 * move. */
static jobject unsafe;
static jmethodID get_long;

static int find_unsafe(JNIEnv *env)
{
	jclass type = (*env)->FindClass(env, "jdk/internal/misc/Unsafe");
	jmethodID get = type ? (*env)->GetStaticMethodID(env, type, "getUnsafe",
							 "()Ljdk/internal/misc/Unsafe;")
			     : NULL;
	jobject one = get ? (*env)->CallStaticObjectMethod(env, type, get) : NULL;

	get_long = one ? (*env)->GetMethodID(env, type, "getLong", "(Ljava/lang/Object;J)J") : NULL;
	unsafe = get_long ? (*env)->NewGlobalRef(env, one) : NULL;
	return unsafe ? 0 : -1;
}

NATIVE(jboolean, openHotSpot)(JNIEnv *env, jclass type)
{
	(void)type;
	return !hotspot_open(env) && !find_unsafe(env);
}

/* NULL if it makes no sense, or with an exception pending. */
NATIVE(jbyteArray, methodParameters)(JNIEnv *env, jclass type, jclass subject)
{
	const void *klass = (const void *)(uintptr_t)(*env)->CallLongMethod(
		env, unsafe, get_long, subject, (jlong)hotspot_klass_offset());
	ptrdiff_t size;
	unsigned char *packed;
	jbyteArray result = NULL;

	(void)type;
	/* A primitive type has no description. */
	if ((*env)->ExceptionCheck(env) || !klass)
		return NULL;
	size = hotspot_parameters(klass, NULL, 0);
	packed = size < 0 ? NULL : malloc((size_t)size + 1);
	if (packed && hotspot_parameters(klass, packed, (size_t)size) == size)
		result = (*env)->NewByteArray(env, (jsize)size);
	if (result)
		(*env)->SetByteArrayRegion(env, result, 0, (jsize)size, (const jbyte *)packed);
	free(packed);
	return result;
}
