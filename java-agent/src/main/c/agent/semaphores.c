/* SPDX-License-Identifier: Apache-2.0
 *
 * Polls in native code because a wakeup in Java uses four times the CPU, and an untraced program
 * pays for several polls per second throughout its lifetime.
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

/* A library and the last known values of its semaphores. */
struct watched {
	struct watched *next;
	struct stub_library *library;
	struct direct_semaphores *seen_direct;
	uint16_t seen[];
};

static struct watched *watched;

/* Not 0 if a wait must end. A futex. */
static _Atomic int bell;

void semaphores_watch(struct stub_library *library)
{
	struct watched *one = calloc(1, sizeof(*one) + library->count * sizeof(uint16_t));
	struct direct_semaphores *direct = calloc(library->count + 1, sizeof(*direct));

	/* If memory runs out, changes are noticed when the wait ends for another reason. */
	if (!one || !direct) {
		free(one);
		free(direct);
		return;
	}
	one->seen_direct = direct;
	one->library = library;
	one->next = watched;
	watched = one;
}

void semaphores_forget(const struct stub_library *library)
{
	for (struct watched **link = &watched; *link; link = &(*link)->next) {
		struct watched *one = *link;

		if (one->library == library) {
			*link = one->next;
			free(one->seen_direct);
			free(one);
			return;
		}
	}
}

/* Returns 1 after a copy if the bytes differ, and 0 if they are equal. */
static int update(void *seen, const volatile void *now, size_t size)
{
	if (memcmp(seen, (const void *)now, size) == 0)
		return 0;
	memcpy(seen, (const void *)now, size);
	return 1;
}

static int have_changed(void)
{
	int changed = 0;

	for (struct watched *one = watched; one; one = one->next) {
		const struct stub_library *library = one->library;

		changed |= update(one->seen, library->semaphores,
				  library->count * SLOT_SEMAPHORE_BYTES);
		changed |= update(one->seen_direct, library->direct,
				  library->count * DIRECT_SEMAPHORES_SIZE);
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
