/* SPDX-License-Identifier: Apache-2.0
 *
 * Fires from Java as libstapsdt-jni does, for comparison: values are objects in an array and are
 * unboxed through JNI, with one class test and one method call each. The stub is jprobe's.
 */
#include <dlfcn.h>
#include <jni.h>
#include <stdint.h>

#define WORDS 6

static jclass long_class;
static jmethodID long_value;

JNIEXPORT jlong JNICALL Java_Fires_stub(JNIEnv *env, jclass type, jstring library, jstring probe)
{
	const char *path = (*env)->GetStringUTFChars(env, library, NULL);
	const char *name = (*env)->GetStringUTFChars(env, probe, NULL);
	void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	void *stub = handle ? dlsym(handle, name) : NULL;

	(void)type;
	(*env)->ReleaseStringUTFChars(env, library, path);
	(*env)->ReleaseStringUTFChars(env, probe, name);
	long_class = (*env)->NewGlobalRef(env, (*env)->FindClass(env, "java/lang/Long"));
	long_value = (*env)->GetMethodID(env, long_class, "longValue", "()J");
	if (!stub)
		(*env)->FatalError(env, "the stub library has no such probe");
	return (jlong)(uintptr_t)stub;
}

JNIEXPORT void JNICALL Java_Fires_fire(JNIEnv *env, jclass type, jlong stub, jobjectArray values)
{
	uint64_t words[WORDS] = {0};
	jsize count = (*env)->GetArrayLength(env, values);

	(void)type;
	for (jsize i = 0; i < count && i < WORDS; i++) {
		jobject value = (*env)->GetObjectArrayElement(env, values, i);

		if ((*env)->IsInstanceOf(env, value, long_class))
			words[i] = (uint64_t)(*env)->CallLongMethod(env, value, long_value);
	}
	((void (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))(uintptr_t)stub)(
		words[0], words[1], words[2], words[3], words[4], words[5]);
}
