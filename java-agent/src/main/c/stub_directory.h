/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory in which the stub libraries of this process lie.
 */
#ifndef STUB_DIRECTORY_H
#define STUB_DIRECTORY_H

#include "stapsdt.h"

/* Makes "<parent>/jprobe-<pid>" (or "jprobe-<pid>-<n>" where another PID namespace's process
 * of that number shares the parent), for its owner alone, and sweeps what dead processes left
 * in the parent. The directory's lock is held until the descriptor that is returned is closed here
 * and in all children of fork, and is how others know that it is in use. Writes the path into
 * `path`, of `room` bytes. Returns the descriptor, or -1 with `error`. */
int stub_directory_create(const char *parent, char *path, size_t room, struct stapsdt_error *error);

/* Removes the directory with the stub libraries in it. Mappings stay valid. */
void stub_directory_remove(const char *path);

#endif
