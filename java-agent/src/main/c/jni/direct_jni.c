/* SPDX-License-Identifier: Apache-2.0
 *
 * JNI binding of io.jprobe.stub.DirectMemory.
 */
#include "../direct/histograms.h"
#include "../direct/rings.h"
#include "../direct/stacks.h"
#include "../stub/stub_error.h"
#include "jni_binding.h"

#include <errno.h>
#include <jni.h>
#include <string.h>

#define NATIVE(result, name) JNIEXPORT result JNICALL Java_io_jprobe_stub_Native_##name

/* Returns the descriptor, or throws for a negative one. */
static jint checked(JNIEnv *env, int memfd, const char *what)
{
	struct stub_error error;

	if (memfd < 0) {
		stub_fail(&error, "cannot create the memory of the %s: %s", what, strerror(errno));
		throw_new(env, STUB_EXCEPTION, error.text);
	}
	return memfd;
}

NATIVE(jint, openRings)(JNIEnv *env, jclass type, jlong bytes)
{
	(void)type;
	return checked(env, rings_open((size_t)bytes), "rings");
}

NATIVE(void, closeRings)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	rings_close();
}

NATIVE(jint, openHistograms)(JNIEnv *env, jclass type)
{
	(void)type;
	return checked(env, histograms_open(), "histograms");
}

NATIVE(jint, histogramCapacity)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	return (jint)histograms_capacity();
}

NATIVE(void, closeHistograms)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	histograms_close();
}

NATIVE(jboolean, releaseDirect)(JNIEnv *env, jclass type)
{
	int rings = rings_release(), histograms = histograms_release();

	(void)env;
	(void)type;
	return rings && histograms ? JNI_TRUE : JNI_FALSE;
}

NATIVE(jint, openStacks)(JNIEnv *env, jclass type, jint bytes)
{
	(void)type;
	return checked(env, stacks_open((size_t)bytes), "stacks");
}

NATIVE(jint, stacksGeneration)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	return (jint)stacks_generation();
}

NATIVE(void, closeStacks)(JNIEnv *env, jclass type)
{
	(void)env;
	(void)type;
	stacks_close();
}
