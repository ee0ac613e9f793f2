/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.MountEvents: calls stubs when virtual threads are mounted and
 * unmounted, as events of HotSpot's own JVMTI extension report it (JDK 21 and later).
 */
#include <jni.h>
#include <jvmti.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* Number of the capability can_support_virtual_threads, for which JDK 17's jvmti.h has no name. */
#define VIRTUAL_THREADS 44

/* Written before the events are enabled. A callback may still run after they are disabled, so the
 * stubs stay mapped. */
static _Atomic uintptr_t mount_stub, unmount_stub;
/* Thread.tid */
static jfieldID id_of;

static void fire(JNIEnv *env, jthread thread, uintptr_t stub)
{
	((void (*)(jlong))stub)((*env)->GetLongField(env, thread, id_of));
}

/* Called in the carrier, as soon as it runs the virtual thread. */
static void JNICALL mounted(jvmtiEnv *jvmti, JNIEnv *env, jthread thread)
{
	(void)jvmti;
	fire(env, thread, atomic_load_explicit(&mount_stub, memory_order_relaxed));
}

/* Called in the carrier, while it still runs the virtual thread. */
static void JNICALL unmounted(jvmtiEnv *jvmti, JNIEnv *env, jthread thread)
{
	(void)jvmti;
	fire(env, thread, atomic_load_explicit(&unmount_stub, memory_order_relaxed));
}

struct event {
	const char *id;
	jvmtiExtensionEvent callback;
	jint index;
};

static struct event events[] = {
	{"com.sun.hotspot.events.VirtualThreadMount", (jvmtiExtensionEvent)(void *)mounted, 0},
	{"com.sun.hotspot.events.VirtualThreadUnmount", (jvmtiExtensionEvent)(void *)unmounted, 0},
};
enum { EVENTS = sizeof(events) / sizeof(events[0]) };

static void free_extensions(jvmtiEnv *jvmti, jvmtiExtensionEventInfo *found, jint count)
{
	for (jint i = 0; i < count; i++) {
		for (jint j = 0; j < found[i].param_count; j++)
			(*jvmti)->Deallocate(jvmti, (unsigned char *)found[i].params[j].name);
		(*jvmti)->Deallocate(jvmti, (unsigned char *)found[i].params);
		(*jvmti)->Deallocate(jvmti, (unsigned char *)found[i].id);
		(*jvmti)->Deallocate(jvmti, (unsigned char *)found[i].short_description);
	}
	(*jvmti)->Deallocate(jvmti, (unsigned char *)found);
}

/* Finds the numbers of the events. Returns 0, or -1 if the JVM does not have both. */
static int find_events(jvmtiEnv *jvmti)
{
	jvmtiExtensionEventInfo *found;
	jint count, known = 0;

	if ((*jvmti)->GetExtensionEvents(jvmti, &count, &found))
		return -1;
	for (jint i = 0; i < count; i++) {
		for (int j = 0; j < EVENTS; j++) {
			if (!strcmp(found[i].id, events[j].id)) {
				events[j].index = found[i].extension_event_index;
				known++;
			}
		}
	}
	free_extensions(jvmti, found, count);
	return known == EVENTS ? 0 : -1;
}

static int prepare(JNIEnv *env, jvmtiEnv *jvmti)
{
	jvmtiCapabilities needed = {0};
	jclass thread = (*env)->FindClass(env, "java/lang/Thread");

	id_of = thread ? (*env)->GetFieldID(env, thread, "tid", "J") : NULL;
	if (!id_of) {
		(*env)->ExceptionClear(env);
		return -1;
	}
	((unsigned char *)&needed)[VIRTUAL_THREADS / 8] = 1 << VIRTUAL_THREADS % 8;
	if ((*jvmti)->AddCapabilities(jvmti, &needed) || find_events(jvmti))
		return -1;
	for (int i = 0; i < EVENTS; i++)
		if ((*jvmti)->SetExtensionEventCallback(jvmti, events[i].index, events[i].callback))
			return -1;
	return 0;
}

/* Returns an environment of its own, made at the first use: virtual threads are slower from then
 * on. NULL on failure. */
static jvmtiEnv *environment(JNIEnv *env)
{
	static jvmtiEnv *known;
	jvmtiEnv *jvmti;
	JavaVM *vm;

	if (known)
		return known;
	if ((*env)->GetJavaVM(env, &vm) ||
	    (*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK)
		return NULL;
	if (prepare(env, jvmti)) {
		(*jvmti)->DisposeEnvironment(jvmti);
		return NULL;
	}
	known = jvmti;
	return known;
}

/* Called by one thread at a time. Returns false if the JVM does not report mounts. */
JNIEXPORT jboolean JNICALL Java_io_jprobe_stub_Native_reportMounts(JNIEnv *env, jclass type,
								   jlong mount, jlong unmount,
								   jboolean is_on)
{
	jvmtiEnv *jvmti = environment(env);
	int failures = 0;

	(void)type;
	if (!jvmti)
		return JNI_FALSE;
	if (is_on) {
		atomic_store(&mount_stub, (uintptr_t)mount);
		atomic_store(&unmount_stub, (uintptr_t)unmount);
	}
	/* The callbacks alone enable nothing. Unmounts first: a mount without one would be open. */
	for (int i = EVENTS - 1; i >= 0; i--)
		failures += (*jvmti)->SetEventNotificationMode(
				    jvmti, is_on ? JVMTI_ENABLE : JVMTI_DISABLE,
				    (jvmtiEvent)events[i].index, NULL) != JVMTI_ERROR_NONE;
	return failures == 0;
}
