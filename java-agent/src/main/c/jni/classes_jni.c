/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations on loaded classes that Java does not offer: query the link state, link without
 * initializing, resolve a class name as the code of a class does, and retransform without an
 * exception.
 */
#include <jni.h>
#include <jvmti.h>
#include <stdatomic.h>
#include <stdlib.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Returns an environment without events, which costs the program nothing. It has at most the
 * capability to retransform, which java.lang.instrument has as well. */
static jvmtiEnv *environment(JNIEnv *env)
{
	static _Atomic(jvmtiEnv *) known;
	jvmtiEnv *jvmti = atomic_load(&known);
	jvmtiEnv *none = NULL;
	JavaVM *vm;

	if (jvmti)
		return jvmti;
	if ((*env)->GetJavaVM(env, &vm) ||
	    (*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK)
		return NULL;
	if (atomic_compare_exchange_strong(&known, &none, jvmti))
		return jvmti;
	(*jvmti)->DisposeEnvironment(jvmti);
	return none;
}

/* Returns false also if the JVM does not report the state. */
NATIVE(jboolean, isLinked)(JNIEnv *env, jclass type, jclass asked)
{
	jvmtiEnv *jvmti = environment(env);
	jint status = 0;

	(void)type;
	return jvmti && (*jvmti)->GetClassStatus(jvmti, asked, &status) == JVMTI_ERROR_NONE &&
	       (status & JVMTI_CLASS_STATUS_PREPARED);
}

/* HotSpot links a class before it lists its fields (JVM_GetClassDeclaredFields), and resolves the
 * types of the listed fields: the public ones, which few classes have. No other call does less. */
NATIVE(void, link)(JNIEnv *env, jclass type, jclass asked)
{
	jclass class = (*env)->FindClass(env, "java/lang/Class");
	jmethodID list = class ? (*env)->GetMethodID(env, class, "getDeclaredFields0",
						     "(Z)[Ljava/lang/reflect/Field;")
			       : NULL;

	(void)type;
	if (list)
		(*env)->CallObjectMethod(env, asked, list, JNI_TRUE);
}

/* Class.forName(name, initialize, loader) calls Class.forName0 with the caller whose protection
 * domain the JVM checks. With the class itself as the caller, the JVM caches the result for all
 * code of the class. The public methods do not cache it, and JDK 17 asks the loader again. */
NATIVE(jclass, resolve)(JNIEnv *env, jclass type, jstring name, jobject loader, jclass from)
{
	jclass class = (*env)->FindClass(env, "java/lang/Class");
	jmethodID for_name;

	(void)type;
	if (!class)
		return NULL;
	for_name = (*env)->GetStaticMethodID(
		env, class, "forName0",
		"(Ljava/lang/String;ZLjava/lang/ClassLoader;Ljava/lang/Class;)Ljava/lang/Class;");
	if (!for_name)
		return NULL;
	return (*env)->CallStaticObjectMethod(env, class, for_name, name, JNI_FALSE, loader, from);
}

/* Returns a JVMTI error. */
NATIVE(jint, retransform)(JNIEnv *env, jclass type, jobjectArray classes)
{
	jvmtiCapabilities needed = {.can_retransform_classes = 1};
	jvmtiEnv *jvmti = environment(env);
	jsize count = (*env)->GetArrayLength(env, classes);
	jclass *each;
	jvmtiError error;

	(void)type;
	if (!jvmti)
		return JVMTI_ERROR_NOT_AVAILABLE;
	error = (*jvmti)->AddCapabilities(jvmti, &needed);
	if (error != JVMTI_ERROR_NONE)
		return (jint)error;
	each = calloc((size_t)count + 1, sizeof(*each));
	if (!each)
		return JVMTI_ERROR_OUT_OF_MEMORY;
	for (jsize i = 0; i < count; i++)
		each[i] = (*env)->GetObjectArrayElement(env, classes, i);
	error = (*jvmti)->RetransformClasses(jvmti, count, each);
	free(each);
	return (jint)error;
}
