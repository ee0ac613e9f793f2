/* SPDX-License-Identifier: Apache-2.0
 *
 * A woven method comes here with the address of a probe (the end of manifest.proto), and its stub
 * is called with the captured values in the registers (and stack slots) that its note describes.
 * Nothing here allocates, locks, throws or calls back into Java.
 *
 * Every hit is counted, and one of BATCH is timed: what the trap costs here and now, with the
 * tracers that are attached and the threads that fight for it, is known from that, and is taken
 * from the allowance that the agent's guard gives for the whole batch. Where that is used up
 * nothing fires any more, from one hit to the next and whatever the number of threads; the guard
 * itself looks only now and then.
 */
#include "fire.h"

#include "text.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

/* A part of a gate. */
struct probe {
	uint64_t stub;
	_Atomic uint64_t fired;
	_Atomic uint64_t filtered; /* counted in java.jprobe.Fire */
	_Atomic uint64_t throttled;
};

/* So many hits of a probe are taken from the allowance at once: threads would fight for it
 * otherwise. */
#define BATCH 32

/* A thread that was interrupted meanwhile, or stopped by a CPU quota for the rest of its period,
 * says nothing about the cost of a hit: that counts as this many hits, or as LONGEST_SAMPLE_NS
 * where hits are cheaper than that. */
#define LONGEST_SAMPLE_HITS 8
#define LONGEST_SAMPLE_NS 20000

static struct fire_guard guard = {.allowance = INT64_MAX};

/* The two readings of the clock that come with a hit. */
static uint64_t readings_ns = 50;

static size_t capture_limit = TEXT_MAX_LIMIT;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Until the guard has unwoven the method all its calls end here, and the program does little else.
 * With many threads and little CPU time the guard would wait for its turn for seconds, and so would
 * the JVM's compilers: a thread gives way once in so many calls, some tenth of a millisecond. */
#define CALLS_A_TURN 1024

static void is_throttled(struct probe *probe)
{
	if (atomic_fetch_add_explicit(&probe->throttled, 1, memory_order_relaxed) % CALLS_A_TURN ==
	    CALLS_A_TURN - 1)
		sched_yield();
}

/* Whether the probe may fire; it is counted in any case. If this hit is to be timed, *started is
 * set. */
static int may_fire(struct probe *probe, uint64_t *started)
{
	if (atomic_load_explicit(&guard.allowance, memory_order_relaxed) <= 0) {
		is_throttled(probe);
		return 0;
	}
	if (atomic_fetch_add_explicit(&probe->fired, 1, memory_order_relaxed) % BATCH == BATCH - 1)
		*started = now_ns();
	return 1;
}

static void has_taken(uint64_t ns)
{
	uint64_t usual = atomic_load_explicit(&guard.hit_ns, memory_order_relaxed);
	uint64_t longest = LONGEST_SAMPLE_HITS * usual;
	uint64_t sample = ns;

	if (longest < LONGEST_SAMPLE_NS)
		longest = LONGEST_SAMPLE_NS;
	if (sample > longest)
		sample = longest;
	atomic_fetch_add_explicit(&guard.sampled_ns, sample, memory_order_relaxed);
	atomic_fetch_add_explicit(&guard.samples, 1, memory_order_relaxed);
	/* Threads that have come meanwhile make hits dearer than the guard has seen. */
	if (sample < usual)
		sample = usual;
	atomic_fetch_sub_explicit(&guard.allowance, (int64_t)(BATCH * (sample + readings_ns)),
				  memory_order_relaxed);
}

static jlong JNICALL fire_text(JNIEnv *env, jclass fire, jstring string, jint slot)
{
	(void)fire;
	return (jlong)text_of(env, string, slot, capture_limit);
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
		struct probe *probe = (struct probe *)(uintptr_t)address;           \
		uint64_t started = 0;                                               \
                                                                                    \
		(void)env;                                                          \
		(void)fire;                                                         \
		if (!may_fire(probe, &started))                                     \
			return;                                                     \
		((void (*)(P##n))(uintptr_t)probe->stub)(A##n);                     \
		if (started)                                                        \
			has_taken(now_ns() - started);                              \
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

int fire_bind(JNIEnv *env, jclass fire, jint limit)
{
	if (limit > 0 && limit <= TEXT_MAX_LIMIT)
		capture_limit = (size_t)limit;
	return (*env)->RegisterNatives(env, fire, METHODS,
				       (jint)(sizeof(METHODS) / sizeof(METHODS[0])))
		       ? -1
		       : 0;
}
