/* SPDX-License-Identifier: Apache-2.0
 *
 * Waits for the kernel to raise or drop a semaphore, which it does without waking anybody.
 *
 * All of it is for one thread, but for semaphores_wake.
 */
#ifndef SEMAPHORES_H
#define SEMAPHORES_H

#include "../stub/stub_library.h"

#include <stdint.h>

/* From now on its semaphores are looked at; until it is forgotten, which must come before it is
 * unloaded. */
void semaphores_watch(struct stub_library *library);

void semaphores_forget(const struct stub_library *library);

/* Returns when a semaphore is not as it was seen last, when it is woken up, and after `most` ns.
 * Looks every `period` ns. */
void semaphores_await(int64_t most, int64_t period);

/* Ends the wait that is under way, or the next. */
void semaphores_wake(void);

#endif
