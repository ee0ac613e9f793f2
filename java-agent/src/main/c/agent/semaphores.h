/* SPDX-License-Identifier: Apache-2.0
 *
 * Waits until the kernel changes a semaphore, which it does without a notification.
 *
 * All functions except semaphores_wake are for one thread.
 */
#ifndef SEMAPHORES_H
#define SEMAPHORES_H

#include "../stub/stub_library.h"

#include <stdint.h>

/* Starts polling the semaphores of the library. Call semaphores_forget before it is unloaded. */
void semaphores_watch(struct stub_library *library);

void semaphores_forget(const struct stub_library *library);

/* Polls every `period` ns. Returns when a semaphore has changed since the last poll, after
 * semaphores_wake, or after `most` ns. */
void semaphores_await(int64_t most, int64_t period);

/* Ends the current wait, or the next. Any thread may call this. */
void semaphores_wake(void);

#endif
