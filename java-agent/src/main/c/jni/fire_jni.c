/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.FireBinding and FireGuard.
 */
#include "fire.h"
#include "jni_binding.h"

#include <jni.h>
#include <stdlib.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Defines a class in the boot loader without extending its search path, because HotSpot would
 * disable class data sharing then. */
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

NATIVE(void, limitText)(JNIEnv *env, jclass type, jint capture_limit)
{
	(void)env;
	(void)type;
	fire_limit_text(capture_limit);
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
