/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel may speed its clock up or slow it down by 500 parts in a million at any moment (NTP),
 * which is 0.5 us in the millisecond until the next comparison. Each comparison checks that the
 * previous one would have predicted it within 1 us. If that fails repeatedly, the counter is not
 * used any more.
 */
#define _GNU_SOURCE
#include "clock.h"

#include "../agent/text_file.h"

#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* A comparison is valid for this long. */
#define WINDOW_NS 1000000
/* Minimum time over which the rate is measured: a comparison may be off by 50 ns. */
#define SHORTEST_BASE_NS 10000000
/* The rate is measured anew after this time. */
#define LONGEST_BASE_NS 1000000000
/* A prediction that is off by more has failed. */
#define MAX_ERROR_NS 1000
/* Failed predictions after which the counter is given up. */
#define MOST_FAILURES 8
/* The counter between two readings around one of the kernel's clock, if nothing interrupts. */
#define UNDISTURBED_TICKS 2000
#define MOST_TRIES 4

/* Two readings of the same moment. */
struct moment {
	uint64_t ticks;
	uint64_t ns;
};

static int is_usable;
static uint32_t failures;

/* From where on the rate is measured; changed by the thread that has set `is_measuring`. */
static struct moment base;
static int is_measuring;
static uint64_t measured_rate;

uint64_t direct_clock_kernel(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
static int has_line_with(const char *path, const char *wanted)
{
	struct text_lines lines = {.file = text_file_open("", path)};
	const char *line = NULL;

	if (lines.file < 0)
		return 0;
	do
		line = text_file_next_line(&lines);
	while (line && !strstr(line, wanted));
	close(lines.file);
	return line != NULL;
}

static int is_clock_source(const char *name)
{
	char text[64];

	return text_file_read("",
			      "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			      text, sizeof(text)) == 0 &&
	       strcmp(text, name) == 0;
}

/* The kernel itself takes its time from the counter, so it is the same on all CPUs and constant. */
static int is_counter_the_clock(void)
{
	int access = 0;

	return is_clock_source("tsc\n") && has_line_with("/proc/cpuinfo", " nonstop_tsc") &&
	       (prctl(PR_GET_TSC, &access) || access == PR_TSC_ENABLE);
}
#else
static int is_counter_the_clock(void)
{
	return 0;
}
#endif

static struct moment read_both(void)
{
	struct moment best = {0}, now;
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < MOST_TRIES && least > UNDISTURBED_TICKS; i++) {
		uint64_t before = direct_clock_ticks(), took;

		now.ns = direct_clock_kernel();
		took = direct_clock_ticks() - before;
		now.ticks = before + took / 2;
		if (took < least) {
			least = took;
			best = now;
		}
	}
	return best;
}

int direct_clock_open(void)
{
	if (is_counter_the_clock()) {
		base = read_both();
		__atomic_store_n(&is_usable, 1, __ATOMIC_RELEASE);
	}
	return is_usable;
}

/* Returns false for a rate that differs by more than NTP could cause: the machine was suspended,
 * during which only the counter goes on. */
static int is_plausible(uint64_t rate)
{
	uint64_t before = measured_rate;

	return !before || (rate > before - before / 1000 && rate < before + before / 1000);
}

/* Measures the rate since the base, and moves the base once that is long ago. Skips that if another
 * thread is at it. */
static void measure(struct moment now)
{
	uint64_t ns, ticks;

	if (__atomic_exchange_n(&is_measuring, 1, __ATOMIC_ACQUIRE))
		return;
	ns = now.ns - base.ns;
	ticks = now.ticks - base.ticks;
	if (now.ns > base.ns && now.ticks > base.ticks && ns >= SHORTEST_BASE_NS) {
		uint64_t rate = (uint64_t)((__uint128_t)ns << 32) / ticks;

		if (ns < 4ULL * LONGEST_BASE_NS && is_plausible(rate))
			__atomic_store_n(&measured_rate, rate, __ATOMIC_RELAXED);
		if (ns >= LONGEST_BASE_NS)
			base = now;
	}
	__atomic_store_n(&is_measuring, 0, __ATOMIC_RELEASE);
}

/* Checks what the last comparison would have predicted, unless it was too long ago. */
static void check(const struct direct_clock *clock, struct moment now)
{
	uint64_t passed = now.ticks - clock->ticks;
	int64_t error;

	if (!clock->window || passed > 2 * clock->window)
		return;
	error = (int64_t)(clock->ns + (passed * clock->rate >> 32) - now.ns);
	if ((error > MAX_ERROR_NS || error < -MAX_ERROR_NS) &&
	    __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) >= MOST_FAILURES)
		__atomic_store_n(&is_usable, 0, __ATOMIC_RELEASE);
}

uint64_t direct_clock_compare(struct direct_clock *clock)
{
	struct moment now;
	uint64_t rate;

	if (!__atomic_load_n(&is_usable, __ATOMIC_ACQUIRE)) {
		clock->window = 0;
		return direct_clock_kernel();
	}
	now = read_both();
	check(clock, now);
	measure(now);
	rate = __atomic_load_n(&measured_rate, __ATOMIC_RELAXED);
	clock->ticks = now.ticks;
	clock->ns = now.ns;
	clock->rate = rate;
	clock->window = rate ? ((uint64_t)WINDOW_NS << 32) / rate : 0;
	return now.ns;
}
