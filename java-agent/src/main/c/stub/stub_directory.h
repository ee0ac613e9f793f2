/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory of this process's stub libraries.
 */
#ifndef STUB_DIRECTORY_H
#define STUB_DIRECTORY_H

#include "stub_library.h"

#include <stdint.h>
#include <sys/types.h>

/* Identifies the directory and its creator: path, descriptor and PID may be reused. */
struct stub_directory {
	char path[4096];
	int descriptor; /* holds the lock; -1: no directory */
	dev_t device;
	ino_t inode;
	uint64_t owner; /* this_process() */
};

/* Creates "<parent>/jprobe-<pid>-<16 random digits>", accessible only to its owner whatever the
 * umask, and removes stale directories from the parent. Other users cannot predict the name, so
 * they cannot occupy it; the PID is for human readers. The lock marks the directory as in use until
 * the descriptor is closed here and in all forked children. The directory never has its name
 * without being locked. Returns 0, or -1 with `error`. */
int stub_directory_create(const char *parent, struct stub_directory *directory,
			  struct stub_error *error);

/* Removes the directory with its stub libraries and releases its lock. Mappings stay valid. Does
 * nothing in a child of the process that created it, or if the path refers to another directory. */
void stub_directory_remove(struct stub_directory *directory);

#endif
