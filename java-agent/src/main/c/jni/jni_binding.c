/* SPDX-License-Identifier: Apache-2.0 */
#include "jni_binding.h"

#include <stdlib.h>
#include <string.h>

/* NewStringUTF and ThrowNew expect JNI's modified UTF-8, which encodes characters beyond U+FFFF in
 * another way than paths and error texts do. */
jstring text_from_utf8(JNIEnv *env, const char *utf8)
{
	jsize length = (jsize)strlen(utf8);
	jclass class = (*env)->FindClass(env, "java/lang/String");
	jmethodID decode =
		class ? (*env)->GetMethodID(env, class, "<init>", "([BLjava/lang/String;)V") : NULL;
	jstring charset = decode ? (*env)->NewStringUTF(env, "UTF-8") : NULL;
	jbyteArray bytes = charset ? (*env)->NewByteArray(env, length) : NULL;

	if (!bytes)
		return NULL;
	(*env)->SetByteArrayRegion(env, bytes, 0, length, (const jbyte *)utf8);
	return (*env)->NewObject(env, class, decode, bytes, charset);
}

void throw_new(JNIEnv *env, const char *type, const char *reason)
{
	jstring text = text_from_utf8(env, reason);
	jclass exception = text ? (*env)->FindClass(env, type) : NULL;
	jmethodID construct =
		exception ? (*env)->GetMethodID(env, exception, "<init>", "(Ljava/lang/String;)V")
			  : NULL;
	jthrowable thrown = construct ? (*env)->NewObject(env, exception, construct, text) : NULL;

	if (thrown)
		(*env)->Throw(env, thrown);
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
