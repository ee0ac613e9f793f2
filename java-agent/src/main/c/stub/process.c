/* SPDX-License-Identifier: Apache-2.0
 *
 * A PID does not suffice: each PID namespace has a process 1, and its parent may be process 1 of
 * another namespace. So the number is stored in a page that the kernel zeroes in every child
 * (MADV_WIPEONFORK, Linux 4.14). A child that finds a zero takes the next number.
 */
#define _GNU_SOURCE
#include "process.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define LARGEST_PAGE (1 << 16)

/* Contains the page. Never unmapped, because threads may call this_process during the exit. */
static unsigned char room[2 * LARGEST_PAGE];
static _Atomic(uint64_t) last;
static atomic_int is_wiped; /* 1: the page is wiped in children; -1: the kernel cannot do that */

static _Atomic(uint64_t) *find_page(void)
{
	uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *page = (void *)(((uintptr_t)room + size - 1) & ~(size - 1));
	int known = atomic_load(&is_wiped);

	if (!known) {
		known = size <= LARGEST_PAGE && !madvise(page, size, MADV_WIPEONFORK) ? 1 : -1;
		atomic_store(&is_wiped, known);
	}
	return known > 0 ? page : NULL;
}

uint64_t this_process(void)
{
	_Atomic(uint64_t) *number = find_page();
	uint64_t found = 0;
	uint64_t next;

	if (!number)
		return (uint64_t)getpid();
	found = atomic_load(number);
	if (found)
		return found;
	next = atomic_fetch_add(&last, 1) + 1;
	return atomic_compare_exchange_strong(number, &found, next) ? next : found;
}
