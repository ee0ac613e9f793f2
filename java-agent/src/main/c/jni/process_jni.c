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

NATIVE(jlong, memoryHeadroom)(JNIEnv *env, jclass type, jbyteArray root)
{
	char *path = copy_bytes(env, root, NULL);
	jlong headroom = MEMORY_UNLIMITED;

	(void)type;
	if (path)
		headroom = memory_headroom(path);
	free(path);
	return headroom;
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
	char *path = copy_bytes(env, root, NULL);
	jlong age = 0;

	(void)type;
	if (path)
		age = cpus_age(path);
	free(path);
	return age;
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
