/* SPDX-License-Identifier: Apache-2.0
 *
 * A woven method comes here with the address of a stub, and the stub is called with the
 * captured values in the registers (and stack slots) that its note describes. Nothing here
 * allocates, locks, throws or calls back into Java.
 */
#include "fire.h"

#include "stapsdt.h"
#include "utf8.h"

/* Contract 2 of the design: strings are captured up to a limit of at most this many bytes. */
#define MAX_CAPTURE_LIMIT 1024

static size_t capture_limit = MAX_CAPTURE_LIMIT;

/* java.lang.Thread.tid, read past Thread.getId(), which applications can override before
 * JDK 19. */
static jfieldID thread_tid;

/* The texts of the strings that one event passes. A thread fills them and fires before it can
 * come here again, so one set for each thread is enough. */
static __thread char texts[STAPSDT_MAX_ARGUMENTS][MAX_CAPTURE_LIMIT + 1];

static jlong capture(JNIEnv *env, jstring string, jint slot)
{
	jchar units[MAX_CAPTURE_LIMIT];
	jsize length;

	if (!string)
		return 0;
	length = (*env)->GetStringLength(env, string);
	/* A unit makes at least one byte: more units than the limit cannot be needed. */
	if ((size_t)length > capture_limit)
		length = (jsize)capture_limit;
	(*env)->GetStringRegion(env, string, 0, length, units);
	utf8_from_utf16(units, (size_t)length, texts[slot], capture_limit);
	return (jlong)(uintptr_t)texts[slot];
}

static jlong JNICALL fire_text(JNIEnv *env, jclass fire, jstring string, jint slot)
{
	(void)fire;
	return capture(env, string, slot);
}

static void JNICALL fire_exit(JNIEnv *env, jclass fire, jlong value, jlong stub, jlong duration,
			      jlong thread)
{
	(void)env;
	(void)fire;
	((void (*)(jlong, jlong, jlong))(uintptr_t)stub)(duration, value, thread);
}

static void JNICALL fire_exit_text(JNIEnv *env, jclass fire, jstring value, jlong stub,
				   jlong duration, jlong thread)
{
	fire_exit(env, fire, capture(env, value, 0), stub, duration, thread);
}

static jlong JNICALL fire_thread_id(JNIEnv *env, jclass fire, jobject thread)
{
	(void)fire;
	return (*env)->GetLongField(env, thread, thread_tid);
}

/* One entry point for each number of values, so that a call passes what it has and no more. */
#define P1 jlong a1
#define P2 P1, jlong a2
#define P3 P2, jlong a3
#define P4 P3, jlong a4
#define P5 P4, jlong a5
#define P6 P5, jlong a6
#define P7 P6, jlong a7
#define P8 P7, jlong a8
#define P9 P8, jlong a9
#define P10 P9, jlong a10
#define P11 P10, jlong a11
#define P12 P11, jlong a12
#define A1 a1
#define A2 A1, a2
#define A3 A2, a3
#define A4 A3, a4
#define A5 A4, a5
#define A6 A5, a6
#define A7 A6, a7
#define A8 A7, a8
#define A9 A8, a9
#define A10 A9, a10
#define A11 A10, a11
#define A12 A11, a12
#define DEFINE_ENTRY(n)                                                                \
	static void JNICALL fire_entry_##n(JNIEnv *env, jclass fire, jlong stub, P##n) \
	{                                                                              \
		(void)env;                                                             \
		(void)fire;                                                            \
		((void (*)(P##n))(uintptr_t)stub)(A##n);                               \
	}
DEFINE_ENTRY(1)
DEFINE_ENTRY(2)
DEFINE_ENTRY(3)
DEFINE_ENTRY(4)
DEFINE_ENTRY(5)
DEFINE_ENTRY(6)
DEFINE_ENTRY(7)
DEFINE_ENTRY(8)
DEFINE_ENTRY(9)
DEFINE_ENTRY(10)
DEFINE_ENTRY(11)
DEFINE_ENTRY(12)

static char entry_name[] = "entry";
#define ENTRY(n, descriptor) {entry_name, (char *)descriptor, (void *)fire_entry_##n}

static const JNINativeMethod METHODS[] = {
	{(char *)"text", (char *)"(Ljava/lang/String;I)J", (void *)fire_text},
	{(char *)"exit", (char *)"(JJJJ)V", (void *)fire_exit},
	{(char *)"exit", (char *)"(Ljava/lang/String;JJJ)V", (void *)fire_exit_text},
	{(char *)"threadId", (char *)"(Ljava/lang/Thread;)J", (void *)fire_thread_id},
	ENTRY(1, "(JJ)V"),
	ENTRY(2, "(JJJ)V"),
	ENTRY(3, "(JJJJ)V"),
	ENTRY(4, "(JJJJJ)V"),
	ENTRY(5, "(JJJJJJ)V"),
	ENTRY(6, "(JJJJJJJ)V"),
	ENTRY(7, "(JJJJJJJJ)V"),
	ENTRY(8, "(JJJJJJJJJ)V"),
	ENTRY(9, "(JJJJJJJJJJ)V"),
	ENTRY(10, "(JJJJJJJJJJJ)V"),
	ENTRY(11, "(JJJJJJJJJJJJ)V"),
	ENTRY(12, "(JJJJJJJJJJJJJ)V"),
};

int fire_bind(JNIEnv *env, jclass fire, jint limit)
{
	jclass thread = (*env)->FindClass(env, "java/lang/Thread");

	if (!thread)
		return -1;
	thread_tid = (*env)->GetFieldID(env, thread, "tid", "J");
	if (!thread_tid)
		return -1;
	if (limit > 0 && limit <= MAX_CAPTURE_LIMIT)
		capture_limit = (size_t)limit;
	return (*env)->RegisterNatives(env, fire, METHODS,
				       (jint)(sizeof(METHODS) / sizeof(METHODS[0])))
		       ? -1
		       : 0;
}
