/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.LoadedParameters.
 */
#include "hotspot.h"

#include <jni.h>
#include <stdint.h>
#include <stdlib.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* The JDK's Unsafe, which reads a field that is hidden from Java. Native code cannot read it by
 * address, because the garbage collector may move the class object. */
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

/* Returns NULL if the data is malformed, or with an exception pending. */
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
