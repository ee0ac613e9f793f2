/* SPDX-License-Identifier: Apache-2.0
 *
 * CLOCK_MONOTONIC for less than half of the price: from the CPU's time stamp counter, which each
 * thread compares with the kernel's clock every millisecond.
 */
#ifndef DIRECT_CLOCK_H
#define DIRECT_CLOCK_H

#include <stdint.h>

/* The last comparison of a thread. Zeroed at first. */
struct direct_clock {
	uint64_t ticks;	 /* counter at the comparison */
	uint64_t ns;	 /* kernel's clock at the comparison */
	uint64_t window; /* ticks for which the comparison is valid; 0: never compared */
	uint64_t rate;	 /* ns per tick, times 2^32 */
	uint64_t last;	 /* last result: results of a thread never fall */
};

/* Prepares the clock. Returns 1 if the counter can be used, 0 if direct_clock_now asks the kernel
 * each time. */
int direct_clock_open(void);

/* Compares the clocks. Returns the kernel's clock in ns. */
uint64_t direct_clock_compare(struct direct_clock *clock);

/* Returns the kernel's clock in ns. */
uint64_t direct_clock_kernel(void);

#if defined(__x86_64__)
/* Without a fence, which doubles the price: the CPU may read the counter some 10 ns before earlier
 * instructions are done. */
static inline uint64_t direct_clock_ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}
#else
/* Never compared, so never read. */
static inline uint64_t direct_clock_ticks(void)
{
	return UINT64_MAX;
}
#endif

/* Returns CLOCK_MONOTONIC in ns, at most 1 us off. */
static inline uint64_t direct_clock_now(struct direct_clock *clock)
{
	uint64_t passed = direct_clock_ticks() - clock->ticks, now;

	if (__builtin_expect(passed >= clock->window, 0))
		now = direct_clock_compare(clock);
	else
		now = clock->ns + (passed * clock->rate >> 32);
	if (now < clock->last)
		return clock->last;
	return clock->last = now;
}

#endif
