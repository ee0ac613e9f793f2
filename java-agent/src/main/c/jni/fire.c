/* SPDX-License-Identifier: Apache-2.0
 *
 * A woven method passes the address of a probe in its gate (layout/gate.toml). The probe's
 * stub is called with the captured values in the registers and stack slots that its note describes.
 * Nothing here allocates, locks, throws or calls back into Java.
 *
 * Every firing is counted and one in BATCH is timed, which measures the cost of the trap with the
 * tracers attached and the threads contending at this time. The cost of the whole batch is
 * subtracted from the allowance that the agent's guard grants. Once it is spent nothing fires any
 * more, at once and in all threads; the guard itself only polls.
 */
#include "fire.h"

#include "text.h"

#include <sched.h>
#include <time.h>

/* Number of firings of a probe that are subtracted from the allowance at once, so that threads do
 * not contend for it. */
#define BATCH 32

/* Limits of a sample. The thread may have been preempted, or stopped by a CPU quota for the rest of
 * its period, which is not part of the cost of a firing. So a sample counts as at most this many
 * firings, or this many ns if firings are cheaper. */
#define MAX_SAMPLE_FIRINGS 8
#define MAX_SAMPLE_NS 20000

static struct fire_guard guard = {.allowance = INT64_MAX};

/* Cost in ns of the two readings of the clock around a firing. */
static uint64_t readings_ns = 50;

static size_t capture_limit = WORDS_MAX_TEXT;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Number of throttled calls after which a thread yields, about every 0.1 ms. Until the guard has
 * unwoven the method, the program does little but make throttled calls. With many threads and
 * little CPU time the guard and the JVM's compilers would wait for a CPU for seconds. */
#define CALLS_PER_YIELD 1024

static void count_throttled(struct gate_probe *probe)
{
	if (__atomic_fetch_add(&probe->throttled, 1, __ATOMIC_RELAXED) % CALLS_PER_YIELD ==
	    CALLS_PER_YIELD - 1)
		sched_yield();
}

/* Counts the call. Returns true if the probe may fire, and sets *started if this firing must be
 * timed. */
static int may_fire(struct gate_probe *probe, uint64_t *started)
{
	if (__atomic_load_n(&guard.allowance, __ATOMIC_RELAXED) <= 0) {
		count_throttled(probe);
		return 0;
	}
	if (__atomic_fetch_add(&probe->fired, 1, __ATOMIC_RELAXED) % BATCH == BATCH - 1)
		*started = now_ns();
	return 1;
}

static void add_sample(uint64_t ns)
{
	uint64_t usual = __atomic_load_n(&guard.firing_ns, __ATOMIC_RELAXED);
	uint64_t longest = MAX_SAMPLE_FIRINGS * usual;
	uint64_t sample = ns;

	if (longest < MAX_SAMPLE_NS)
		longest = MAX_SAMPLE_NS;
	if (sample > longest)
		sample = longest;
	__atomic_fetch_add(&guard.sampled_ns, sample, __ATOMIC_RELAXED);
	__atomic_fetch_add(&guard.samples, 1, __ATOMIC_RELAXED);
	/* Threads that started since make firings more expensive than the guard has seen. */
	if (sample < usual)
		sample = usual;
	__atomic_fetch_sub(&guard.allowance, (int64_t)(BATCH * (sample + readings_ns)),
			   __ATOMIC_RELAXED);
}

static jlong JNICALL fire_text(JNIEnv *env, jclass fire, jstring string, jint slot)
{
	(void)fire;
	return (jlong)text_of(env, string, slot, __atomic_load_n(&capture_limit, __ATOMIC_RELAXED));
}

static jlong JNICALL fire_buffer(JNIEnv *env, jclass fire, jint slot)
{
	(void)env;
	(void)fire;
	return (jlong)(uintptr_t)text_buffer(slot);
}

static jint JNICALL fire_text_limit(JNIEnv *env, jclass fire)
{
	(void)env;
	(void)fire;
	return (jint)capture_limit;
}

/* One entry point per number of values, so that a call passes only the values it has. */
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
#define P13 P12, jlong a13
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
#define A13 A12, a13
#define DEFINE_FIRE(n)                                                              \
	static void JNICALL fire_##n(JNIEnv *env, jclass fire, jlong address, P##n) \
	{                                                                           \
		struct gate_probe *probe = (struct gate_probe *)(uintptr_t)address; \
		uint64_t started = 0;                                               \
                                                                                    \
		(void)env;                                                          \
		(void)fire;                                                         \
		if (!may_fire(probe, &started))                                     \
			return;                                                     \
		((void (*)(P##n))(uintptr_t)probe->stub)(A##n);                     \
		if (started)                                                        \
			add_sample(now_ns() - started);                             \
	}
DEFINE_FIRE(1)
DEFINE_FIRE(2)
DEFINE_FIRE(3)
DEFINE_FIRE(4)
DEFINE_FIRE(5)
DEFINE_FIRE(6)
DEFINE_FIRE(7)
DEFINE_FIRE(8)
DEFINE_FIRE(9)
DEFINE_FIRE(10)
DEFINE_FIRE(11)
DEFINE_FIRE(12)
DEFINE_FIRE(13)

static char fire_name[] = "fire";
#define FIRE(n, descriptor) {fire_name, (char *)descriptor, (void *)fire_##n}

static const JNINativeMethod METHODS[] = {
	{(char *)"text", (char *)"(Ljava/lang/String;I)J", (void *)fire_text},
	{(char *)"buffer", (char *)"(I)J", (void *)fire_buffer},
	{(char *)"textLimit", (char *)"()I", (void *)fire_text_limit},
	FIRE(1, "(JJ)V"),
	FIRE(2, "(JJJ)V"),
	FIRE(3, "(JJJJ)V"),
	FIRE(4, "(JJJJJ)V"),
	FIRE(5, "(JJJJJJ)V"),
	FIRE(6, "(JJJJJJJ)V"),
	FIRE(7, "(JJJJJJJJ)V"),
	FIRE(8, "(JJJJJJJJJ)V"),
	FIRE(9, "(JJJJJJJJJJ)V"),
	FIRE(10, "(JJJJJJJJJJJ)V"),
	FIRE(11, "(JJJJJJJJJJJJ)V"),
	FIRE(12, "(JJJJJJJJJJJJJ)V"),
	FIRE(13, "(JJJJJJJJJJJJJJ)V"),
};

struct fire_guard *fire_guard(void)
{
	return &guard;
}

uint64_t fire_clock_ns(void)
{
	enum { READINGS = 1000 };
	uint64_t began = now_ns();

	for (int i = 2; i < READINGS; i++)
		now_ns();
	readings_ns = 2 * (now_ns() - began) / READINGS;
	return readings_ns / 2;
}

void fire_limit_text(jint limit)
{
	if (limit > 0 && limit <= WORDS_MAX_TEXT)
		__atomic_store_n(&capture_limit, (size_t)limit, __ATOMIC_RELAXED);
}

int fire_bind(JNIEnv *env, jclass fire, jint limit)
{
	fire_limit_text(limit);
	return (*env)->RegisterNatives(env, fire, METHODS,
				       (jint)(sizeof(METHODS) / sizeof(METHODS[0])))
		       ? -1
		       : 0;
}
