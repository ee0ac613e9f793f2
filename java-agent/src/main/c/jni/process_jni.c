/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.Cpus, MemoryLimit, Semaphores and StandardError.
 */
#include "../agent/cpus.h"
#include "../agent/memory_limit.h"
#include "../agent/semaphores.h"
#include "../agent/standard_error.h"
#include "jni_binding.h"

#include <jni.h>
#include <stdlib.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Returns what `read` finds below a directory; `unknown` if memory runs out. */
static jlong read_below(JNIEnv *env, jbyteArray root, int64_t (*read)(const char *), jlong unknown)
{
	char *path = copy_bytes(env, root, NULL);
	jlong found = path ? read(path) : unknown;

	free(path);
	return found;
}

NATIVE(jlong, cpuQuota)(JNIEnv *env, jclass type, jbyteArray root)
{
	(void)type;
	return read_below(env, root, cpus_quota, CPUS_NO_QUOTA);
}

NATIVE(jlong, memoryHeadroom)(JNIEnv *env, jclass type, jbyteArray root)
{
	(void)type;
	return read_below(env, root, memory_headroom, MEMORY_UNLIMITED);
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

NATIVE(jlong, processAge)(JNIEnv *env, jclass type, jbyteArray root)
{
	(void)type;
	return read_below(env, root, cpus_age, 0);
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

/* Calls Throwable.getMessage itself, not an override by a class of the program. */
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
