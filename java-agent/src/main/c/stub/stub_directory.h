/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory in which the stub libraries of this process lie.
 */
#ifndef STUB_DIRECTORY_H
#define STUB_DIRECTORY_H

#include "stub_library.h"

#include <stdint.h>
#include <sys/types.h>

/* Who made it, and which one it is: path, descriptor and PID may come to mean another. */
struct stub_directory {
	char path[4096];
	int descriptor; /* holds the lock; -1: there is no directory */
	dev_t device;
	ino_t inode;
	uint64_t owner; /* this_process() */
};

/* Makes "<parent>/jprobe-<pid>-<16 random digits>", accessible only to its owner whatever the
 * umask, and sweeps what dead processes left in the parent. No other user can foresee the name, and
 * so none can take it beforehand; the PID is for human readers. The lock marks the directory as in
 * use, and is held until the descriptor is closed here and in all forked children: the directory
 * never has its name without being locked. Returns 0, or -1 with `error`. */
int stub_directory_create(const char *parent, struct stub_directory *directory,
			  struct stub_error *error);

/* Removes the directory with the stub libraries in it, and lets go of its lock. Mappings stay
 * valid. Does nothing in a child of the process that made it, or where another lies there by
 * now. */
void stub_directory_remove(struct stub_directory *directory);

#endif
