/* SPDX-License-Identifier: Apache-2.0
 *
 * Waits for the trigger of a flight recorder, a futex in memory that the traced process can write.
 */
#define _GNU_SOURCE
#include "drain.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A process may set the futex back between the wake and the wait, so that the wake is missed. */
static const struct timespec LONGEST = {.tv_sec = 1};
/* It may also wake without a trigger, as often as it can. */
static const struct timespec AFTER_NOTHING = {.tv_nsec = 5000000};

void jprobe_await_trigger(struct direct_pool *pool, const uint32_t *stop)
{
	while (!__atomic_load_n(&pool->triggered, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		long woken = syscall(SYS_futex, &pool->triggered, FUTEX_WAIT, 0, &LONGEST, NULL, 0);

		if (!woken && !__atomic_load_n(&pool->triggered, __ATOMIC_ACQUIRE))
			nanosleep(&AFTER_NOTHING, NULL);
	}
}

void jprobe_stop_waiting(struct direct_pool *pool, uint32_t *stop)
{
	__atomic_store_n(stop, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&pool->triggered, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &pool->triggered, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}
