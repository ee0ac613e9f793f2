/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads and the memory that they use. A thread announces that it uses memory with a plain store,
 * and whoever wants to unmap memory makes all threads execute a barrier (membarrier(2)): then
 * either the store is visible, or the thread will find the pointer to the memory NULL.
 */
#define _GNU_SOURCE
#include "thread.h"

#include "rings.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread struct direct_thread *direct_current;
uint64_t direct_epoch = 1;
int direct_needs_barriers;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct direct_thread *threads; /* guarded by the lock, as is `created` */
static uint32_t created;
static pthread_key_t key;
static int has_key;

static void end_thread(void *ended)
{
	struct direct_thread *thread = ended;

	direct_current = NULL;
	direct_enter(thread);
	rings_leave(thread);
	direct_leave(thread);
	pthread_mutex_lock(&lock);
	if (thread->next)
		thread->next->previous = thread->previous;
	if (thread->previous)
		thread->previous->next = thread->next;
	else
		threads = thread->next;
	pthread_mutex_unlock(&lock);
	free(thread);
}

static long barrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

void direct_threads_open(void)
{
	/* A process may start the agent many times. */
	has_key = has_key || pthread_key_create(&key, end_thread) == 0;
	direct_needs_barriers = barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

struct direct_thread *direct_thread_create(void)
{
	struct direct_thread *thread = has_key ? calloc(1, sizeof(*thread)) : NULL;

	/* Without the key's value nobody would free it. */
	if (thread && pthread_setspecific(key, thread)) {
		free(thread);
		thread = NULL;
	}
	if (!thread)
		return NULL;
	thread->tid = (uint32_t)syscall(SYS_gettid);
	pthread_mutex_lock(&lock);
	thread->number = created++;
	thread->next = threads;
	if (threads)
		threads->previous = thread;
	threads = thread;
	pthread_mutex_unlock(&lock);
	return direct_current = thread;
}

uint64_t direct_end_epoch(void)
{
	return __atomic_fetch_add(&direct_epoch, 1, __ATOMIC_SEQ_CST);
}

int direct_is_over(uint64_t epoch)
{
	int is_over = 1;

	if (!direct_needs_barriers && barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		return 0;
	pthread_mutex_lock(&lock);
	for (const struct direct_thread *thread = threads; thread && is_over;
	     thread = thread->next) {
		uint64_t since = __atomic_load_n(&thread->using, __ATOMIC_ACQUIRE);

		is_over = !since || since > epoch;
	}
	pthread_mutex_unlock(&lock);
	return is_over;
}
