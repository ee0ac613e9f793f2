/* SPDX-License-Identifier: Apache-2.0 */
#include "jni_binding.h"

#include <stdlib.h>

void throw_new(JNIEnv *env, const char *type, const char *reason)
{
	jclass exception = (*env)->FindClass(env, type);

	if (exception)
		(*env)->ThrowNew(env, exception, reason);
}

char *copy_bytes(JNIEnv *env, jbyteArray array, size_t *size)
{
	jsize length;
	char *copy;

	if (!array)
		return NULL;
	length = (*env)->GetArrayLength(env, array);
	copy = malloc((size_t)length + 1);
	if (!copy) {
		throw_new(env, "java/lang/OutOfMemoryError", "out of native memory");
		return NULL;
	}
	(*env)->GetByteArrayRegion(env, array, 0, length, (jbyte *)copy);
	copy[length] = '\0';
	if (size)
		*size = (size_t)length;
	return copy;
}
