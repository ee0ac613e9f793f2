/* SPDX-License-Identifier: Apache-2.0
 *
 * A woven method passes the address of a probe in its gate (layout/gate.toml), whose sinks say what
 * happens. For a trap, the probe's stub is called with the captured values in the registers and
 * stack slots that its note describes. Nothing here throws, calls back into Java, or, except for
 * the first call of a thread, allocates or locks.
 *
 * Some firings are timed: one in BATCH of a probe that traps, one in DIRECT_BATCH of a thread's
 * others. This measures the cost with the tracers attached and the threads contending at this time.
 * The cost of the whole batch is subtracted from the allowance that the agent's guard grants. Once
 * it is spent nothing fires any more, at once and in all threads; the guard itself only polls.
 */
#include "fire.h"

#include "../direct/histograms.h"
#include "../direct/rings.h"
#include "../direct/stacks.h"
#include "text.h"

#include <sched.h>
#include <stdlib.h>

/* Number of firings of a probe that are subtracted from the allowance at once, so that threads do
 * not contend for it. */
#define BATCH 32

/* The same for firings without a trap, of all probes that a thread fires. A prime number: a program
 * that calls its methods in turn would otherwise charge all of them to one. */
#define DIRECT_BATCH 127

/* Limits of a sample. The thread may have been preempted, or stopped by a CPU quota for the rest of
 * its period, which is not part of the cost of a firing. So a sample counts as at most this many
 * firings, or this many ns if firings are cheaper. */
#define MAX_SAMPLE_FIRINGS 8
#define MAX_SAMPLE_NS 20000

static struct fire_guard guard = {.allowance = INT64_MAX};

/* Cost in ns of the two readings of the clock around a firing. */
static uint64_t readings_ns = 50;

static int is_clock_fast;

static size_t capture_limit = WORDS_MAX_TEXT;

/* Cost in ns of two transitions to native code, and back. */
#define TRANSITIONS_NS 10

/* Time in ns by which the program's own code is slower for a firing: its method is not inlined any
 * more, its callers are compiled worse, and caches hold less of the program. No sample can contain
 * it. A call in a loop costs 8 ns more than the rest (bench/lanes.py); with all of H2's storage
 * traced, it was 20 ns. The guard must not throttle what costs less than it allows. */
#define SLOWDOWN_NS 8

/* Cost in ns of what a firing without a trap does outside of its sample: two transitions and two
 * readings of the clock, of which the sample contains one. */
static uint64_t around_direct_ns = 30 + TRANSITIONS_NS + SLOWDOWN_NS;

/* Cost of a firing without a trap while none was timed, as io.jprobe.guard.FiringCost assumes. */
#define ASSUMED_DIRECT_NS 60

/* Limit of the time of one stack: a deep one that is new takes as long. */
#define MOST_STACK_NS 1000000

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

/* Returns a sample of `ns` without the time of an interruption. `usual` is the assumed cost. */
static uint64_t limited(uint64_t ns, uint64_t usual)
{
	uint64_t longest = MAX_SAMPLE_FIRINGS * usual;

	if (longest < MAX_SAMPLE_NS)
		longest = MAX_SAMPLE_NS;
	return ns > longest ? longest : ns;
}

static void spend(uint64_t ns)
{
	__atomic_fetch_sub(&guard.allowance, (int64_t)ns, __ATOMIC_RELAXED);
}

static void add_sample(uint64_t ns)
{
	uint64_t usual = __atomic_load_n(&guard.firing_ns, __ATOMIC_RELAXED);
	uint64_t sample = limited(ns, usual);

	__atomic_fetch_add(&guard.sampled_ns, sample, __ATOMIC_RELAXED);
	__atomic_fetch_add(&guard.samples, 1, __ATOMIC_RELAXED);
	/* Threads that started since make firings more expensive than the guard has seen. */
	spend(BATCH * ((sample < usual ? usual : sample) + readings_ns));
}

static void add_direct_sample(struct gate_probe *probe, uint64_t ns)
{
	uint64_t sample = limited(ns, 0) + around_direct_ns;

	__atomic_fetch_add(&guard.direct_sampled_ns, sample, __ATOMIC_RELAXED);
	__atomic_fetch_add(&guard.direct_samples, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&probe->sampled, DIRECT_BATCH, __ATOMIC_RELAXED);
	spend(DIRECT_BATCH * sample);
}

/* Returns true if a call may fire, and counts it as throttled if not. */
static int may_fire(struct gate_probe *probe)
{
	if (__builtin_expect(__atomic_load_n(&guard.allowance, __ATOMIC_RELAXED) > 0, 1))
		return 1;
	count_throttled(probe);
	return 0;
}

static void put_direct(struct direct_thread *thread, struct gate_probe *probe, uint32_t sinks,
		       uint64_t time, uint8_t flags, const uint64_t *words, unsigned count)
{
	direct_enter(thread);
	if (sinks & SINKS_COUNT)
		histograms_count(thread, probe, words[0]);
	if (sinks & SINKS_EVENT)
		rings_put(thread, probe, time, flags, words, count);
	direct_leave(thread);
}

/* Does what the sinks other than the trap want. Returns the time of the event: that is `time`,
 * unless it is 0, which stands for now. */
static inline uint64_t fire_direct(struct gate_probe *probe, uint32_t sinks, uint64_t time,
				   uint8_t flags, const uint64_t *words, unsigned count)
{
	struct direct_thread *thread = direct_thread();
	uint64_t began;

	if (__builtin_expect(!thread, 0)) {
		/* Without memory for the thread there is none for a record. */
		if (sinks & SINKS_EVENT)
			__atomic_fetch_add(&probe->lost, 1, __ATOMIC_RELAXED);
		return time ? time : direct_clock_kernel();
	}
	if (!time)
		time = direct_clock_now(&thread->clock);
	if (__builtin_expect(++thread->calls < DIRECT_BATCH, 1)) {
		put_direct(thread, probe, sinks, time, flags, words, count);
		return time;
	}
	thread->calls = 0;
	began = direct_clock_now(&thread->clock);
	put_direct(thread, probe, sinks, time, flags, words, count);
	add_direct_sample(probe, direct_clock_now(&thread->clock) - began);
	return time;
}

static uint64_t now_ns(void)
{
	struct direct_thread *thread = direct_thread();

	return thread ? direct_clock_now(&thread->clock) : direct_clock_kernel();
}

static jlong JNICALL fire_clock(JNIEnv *env, jclass fire)
{
	(void)env;
	(void)fire;
	return (jlong)now_ns();
}

static jboolean JNICALL fire_is_clock_fast(JNIEnv *env, jclass fire)
{
	(void)env;
	(void)fire;
	return is_clock_fast ? JNI_TRUE : JNI_FALSE;
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

static jlong JNICALL fire_describe(JNIEnv *env, jclass fire, jint generation, jbyteArray lines,
				   jboolean is_cut)
{
	jsize size = (*env)->GetArrayLength(env, lines);
	char *text = malloc((size_t)size + 1);
	uint32_t id;

	(void)fire;
	if (!text) {
		stacks_lose();
		return 0;
	}
	(*env)->GetByteArrayRegion(env, lines, 0, size, (jbyte *)text);
	id = stacks_add((uint32_t)generation, text, (size_t)size, is_cut == JNI_TRUE);
	free(text);
	return id;
}

static void JNICALL fire_lose_stack(JNIEnv *env, jclass fire)
{
	(void)env;
	(void)fire;
	stacks_lose();
}

/* The guard sees the time as that of so many firings without a trap. */
static void JNICALL fire_spend(JNIEnv *env, jclass fire, jlong address, jlong ns)
{
	struct gate_probe *probe = (struct gate_probe *)(uintptr_t)address;
	uint64_t samples = __atomic_load_n(&guard.direct_samples, __ATOMIC_RELAXED);
	uint64_t usual = ASSUMED_DIRECT_NS;
	uint64_t spent = ns > 0 ? limited((uint64_t)ns, MOST_STACK_NS / MAX_SAMPLE_FIRINGS) : 0;

	(void)env;
	(void)fire;
	if (samples)
		usual = __atomic_load_n(&guard.direct_sampled_ns, __ATOMIC_RELAXED) / samples;
	__atomic_fetch_add(&probe->sampled, spent / (usual ? usual : 1), __ATOMIC_RELAXED);
	spend(spent);
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
#define W1 (uint64_t)a1
#define W2 W1, (uint64_t)a2
#define W3 W2, (uint64_t)a3
#define W4 W3, (uint64_t)a4
#define W5 W4, (uint64_t)a5
#define W6 W5, (uint64_t)a6
#define W7 W6, (uint64_t)a7
#define W8 W7, (uint64_t)a8
#define W9 W8, (uint64_t)a9
#define W10 W9, (uint64_t)a10
#define W11 W10, (uint64_t)a11
#define W12 W11, (uint64_t)a12
#define W13 W12, (uint64_t)a13
#define DEFINE_FIRE(n)                                                                           \
	static jlong JNICALL fire_##n(JNIEnv *env, jclass fire, jlong address, jlong time, P##n) \
	{                                                                                        \
		struct gate_probe *probe = (struct gate_probe *)(uintptr_t)address;              \
		uint32_t sinks = __atomic_load_n(&probe->sinks, __ATOMIC_ACQUIRE);               \
		uint64_t began = 0, at = (uint64_t)time;                                         \
		/* The last word is the thread's ID. */                                          \
		const uint8_t flags = a##n < 0 ? RECORD_FLAGS_VIRTUAL : 0;                       \
                                                                                                 \
		(void)env;                                                                       \
		(void)fire;                                                                      \
		a##n &= INT64_MAX;                                                               \
		if (!may_fire(probe))                                                            \
			return time ? 0 : (jlong)now_ns();                                       \
		if (sinks & (SINKS_EVENT | SINKS_COUNT)) {                                       \
			const uint64_t words[] = {W##n};                                         \
                                                                                                 \
			at = fire_direct(probe, sinks, at, flags, words, n);                     \
		}                                                                                \
		/* A method is still woven for a moment after its sinks are off. */              \
		if (!(sinks & SINKS_TRAP))                                                       \
			return time ? 0 : (jlong)(at ? at : now_ns());                           \
		if (__atomic_fetch_add(&probe->fired, 1, __ATOMIC_RELAXED) % BATCH == BATCH - 1) \
			began = direct_clock_kernel();                                           \
		/* The end of a call: see cookie.timed. */                                       \
		((void (*)(P##n, jlong))(uintptr_t)probe->stub)(A##n,                            \
								time | (flags ? INT64_MIN : 0)); \
		if (began)                                                                       \
			add_sample(direct_clock_kernel() - began);                               \
		return time ? 0 : (jlong)now_ns();                                               \
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

/* A return or throw probe with one value: reads the clock before anything else. */
static void JNICALL leave_with_number(JNIEnv *env, jclass fire, jlong address, jlong start,
				      jlong value, jlong thread)
{
	uint64_t now = now_ns();

	fire_3(env, fire, address, (jlong)now, (jlong)now - start, value, thread);
}

static void JNICALL leave_with_text(JNIEnv *env, jclass fire, jlong address, jlong start,
				    jstring value, jlong thread)
{
	const struct gate_probe *probe = (const struct gate_probe *)(uintptr_t)address;
	uint64_t now = now_ns(), text = 0;

	if (__atomic_load_n(&probe->sinks, __ATOMIC_RELAXED) & (SINKS_TRAP | SINKS_EVENT))
		text = text_of(env, value, 0, __atomic_load_n(&capture_limit, __ATOMIC_RELAXED));
	fire_3(env, fire, address, (jlong)now, (jlong)now - start, (jlong)text, thread);
}

static char fire_name[] = "fire";
static char leave_name[] = "leave";
#define FIRE(n, descriptor) {fire_name, (char *)descriptor, (void *)fire_##n}

static const JNINativeMethod METHODS[] = {
	{(char *)"text", (char *)"(Ljava/lang/String;I)J", (void *)fire_text},
	{(char *)"buffer", (char *)"(I)J", (void *)fire_buffer},
	{(char *)"clock", (char *)"()J", (void *)fire_clock},
	{(char *)"isClockFast", (char *)"()Z", (void *)fire_is_clock_fast},
	{(char *)"textLimit", (char *)"()I", (void *)fire_text_limit},
	{(char *)"describe", (char *)"(I[BZ)J", (void *)fire_describe},
	{(char *)"loseStack", (char *)"()V", (void *)fire_lose_stack},
	{(char *)"spend", (char *)"(JJ)V", (void *)fire_spend},
	{leave_name, (char *)"(JJJJ)V", (void *)leave_with_number},
	{leave_name, (char *)"(JJLjava/lang/String;J)V", (void *)leave_with_text},
	FIRE(1, "(JJJ)J"),
	FIRE(2, "(JJJJ)J"),
	FIRE(3, "(JJJJJ)J"),
	FIRE(4, "(JJJJJJ)J"),
	FIRE(5, "(JJJJJJJ)J"),
	FIRE(6, "(JJJJJJJJ)J"),
	FIRE(7, "(JJJJJJJJJ)J"),
	FIRE(8, "(JJJJJJJJJJ)J"),
	FIRE(9, "(JJJJJJJJJJJ)J"),
	FIRE(10, "(JJJJJJJJJJJJ)J"),
	FIRE(11, "(JJJJJJJJJJJJJ)J"),
	FIRE(12, "(JJJJJJJJJJJJJJ)J"),
	FIRE(13, "(JJJJJJJJJJJJJJJ)J"),
};

struct fire_guard *fire_guard(void)
{
	return &guard;
}

uint64_t fire_clock_ns(void)
{
	enum { READINGS = 1000 };
	uint64_t began = direct_clock_kernel();

	for (int i = 2; i < READINGS; i++)
		direct_clock_kernel();
	readings_ns = 2 * (direct_clock_kernel() - began) / READINGS;
	if (is_clock_fast) {
		began = direct_clock_kernel();
		for (int i = 0; i < READINGS; i++)
			direct_clock_ticks();
		around_direct_ns =
			(direct_clock_kernel() - began) / READINGS + TRANSITIONS_NS + SLOWDOWN_NS;
	} else {
		around_direct_ns = readings_ns / 2 + TRANSITIONS_NS + SLOWDOWN_NS;
	}
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
	direct_threads_open();
	is_clock_fast = direct_clock_open();
	return (*env)->RegisterNatives(env, fire, METHODS,
				       (jint)(sizeof(METHODS) / sizeof(METHODS[0])))
		       ? -1
		       : 0;
}
