// SPDX-License-Identifier: Apache-2.0
/*
 * Does in C what Lanes.java does: calls a small function in bursts, and prints every 0.2 s the time
 * in ms since the epoch and the ns of CPU time per call of the fastest burst. Argument: "add",
 * "timed" (between two clock readings), or "traced" (also passes the result to a tracepoint of
 * LTTng-ust).
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "jprobe_bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 10000, PAUSE_US = 10000, BURSTS = 20 };

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static __attribute__((noinline)) int64_t add(int64_t a, int64_t b)
{
	__asm__ volatile("");
	return a + b;
}

static int64_t burst(int is_timed, int is_traced, uint64_t thread)
{
	int64_t sum = 0;

	for (int64_t i = 0; i < CALLS; i++) {
		uint64_t begun = is_timed ? now(CLOCK_MONOTONIC) : 0;
		uint64_t nanos;

		sum = add(sum, i);
		nanos = is_timed ? now(CLOCK_MONOTONIC) - begun : 0;
		if (is_traced)
			lttng_ust_tracepoint(jprobe_bench, returned, nanos, sum, thread);
		else
			__asm__ volatile("" : : "r"(nanos));
	}
	return sum;
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "add";
	int is_traced = !strcmp(what, "traced"), is_timed = is_traced || !strcmp(what, "timed");
	uint64_t thread = (uint64_t)getpid();

	for (;;) {
		uint64_t fastest = UINT64_MAX;
		for (int i = 0; i < BURSTS; i++) {
			uint64_t begun = now(CLOCK_THREAD_CPUTIME_ID), nanos;
			int64_t sum = burst(is_timed, is_traced, thread);

			nanos = now(CLOCK_THREAD_CPUTIME_ID) - begun;
			if (nanos < fastest && sum)
				fastest = nanos;
			usleep(PAUSE_US);
		}
		printf("%llu %.3f\n", (unsigned long long)now(CLOCK_REALTIME) / 1000000,
		       (double)fastest / CALLS);
		fflush(stdout);
	}
}
