/* SPDX-License-Identifier: Apache-2.0
 *
 * A look that wakes up here, compares and sleeps again takes a quarter of the CPU that one takes
 * which wakes up in Java: a program that nobody traces has some of these every second for as long
 * as it lives.
 */
#define _GNU_SOURCE
#include "semaphores.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A library, and its semaphores as they were seen last. */
struct watched {
	struct watched *next;
	struct stub_library *library;
	uint16_t seen[];
};

static struct watched *watched;

/* Not 0 when a wait is to end. */
static _Atomic int bell;

void semaphores_watch(struct stub_library *library)
{
	struct watched *one = calloc(1, sizeof(*one) + library->count * sizeof(uint16_t));

	/* Without memory its changes are seen when something else ends the wait. */
	if (!one)
		return;
	one->library = library;
	one->next = watched;
	watched = one;
}

void semaphores_forget(const struct stub_library *library)
{
	for (struct watched **place = &watched; *place; place = &(*place)->next) {
		struct watched *one = *place;

		if (one->library == library) {
			*place = one->next;
			free(one);
			return;
		}
	}
}

static int have_changed(void)
{
	int changed = 0;

	for (struct watched *one = watched; one; one = one->next) {
		const void *now = (const void *)one->library->semaphores;
		size_t size = one->library->count * sizeof(uint16_t);

		if (memcmp(one->seen, now, size) != 0) {
			memcpy(one->seen, now, size);
			changed = 1;
		}
	}
	return changed;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void semaphores_await(int64_t most, int64_t period)
{
	int64_t end = now_ns() + most;

	while (!atomic_exchange(&bell, 0) && !have_changed()) {
		int64_t left = end - now_ns();
		int64_t next = left < period ? left : period;
		struct timespec wait = {next / 1000000000, next % 1000000000};

		if (left <= 0)
			return;
		syscall(SYS_futex, &bell, FUTEX_WAIT_PRIVATE, 0, &wait, NULL, 0);
	}
}

void semaphores_wake(void)
{
	atomic_store(&bell, 1);
	syscall(SYS_futex, &bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
