/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.PreparedClasses: reports every class that the JVM has linked, in
 * the thread that needs it and before any of its code runs (JVMTI's event ClassPrepare).
 */
#include <jni.h>
#include <jvmti.h>

/* Written before the events are enabled. */
static jclass receiver;
static jmethodID receive;

/* True while this thread reports a class: reporting may load and prepare classes of its own. */
static __thread int is_reporting;

static void JNICALL prepared(jvmtiEnv *jvmti, JNIEnv *env, jthread thread, jclass class)
{
	(void)jvmti;
	(void)thread;
	if (is_reporting || (*env)->ExceptionCheck(env))
		return;
	is_reporting = 1;
	(*env)->CallStaticVoidMethod(env, receiver, receive, class);
	(*env)->ExceptionClear(env);
	is_reporting = 0;
}

/* Returns an environment of its own, so that other uses of JVMTI have no events; NULL on failure.
 */
static jvmtiEnv *environment(JNIEnv *env, jclass wanted)
{
	static const jvmtiEventCallbacks callbacks = {.ClassPrepare = prepared};
	static jvmtiEnv *known;
	jvmtiEnv *jvmti;
	JavaVM *vm;

	if (known)
		return known;
	receive = (*env)->GetStaticMethodID(env, wanted, "prepared", "(Ljava/lang/Class;)V");
	receiver = receive ? (*env)->NewGlobalRef(env, wanted) : NULL;
	if (!receiver || (*env)->GetJavaVM(env, &vm) ||
	    (*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK)
		return NULL;
	if ((*jvmti)->SetEventCallbacks(jvmti, &callbacks, sizeof(callbacks))) {
		(*jvmti)->DisposeEnvironment(jvmti);
		return NULL;
	}
	known = jvmti;
	return known;
}

/* Called by one thread at a time. Returns false if the JVM does not report classes. */
JNIEXPORT jboolean JNICALL Java_io_jprobe_stub_Native_reportPrepared(JNIEnv *env, jclass type,
								     jclass wanted, jboolean is_on)
{
	jvmtiEnv *jvmti = environment(env, wanted);

	(void)type;
	return jvmti && (*jvmti)->SetEventNotificationMode(
				jvmti, is_on ? JVMTI_ENABLE : JVMTI_DISABLE,
				JVMTI_EVENT_CLASS_PREPARE, NULL) == JVMTI_ERROR_NONE;
}
