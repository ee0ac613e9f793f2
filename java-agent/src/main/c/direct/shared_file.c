/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "shared_file.h"

#include "../stub/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* A file beyond the limit would raise SIGXFSZ. */
static int is_allowed(size_t bytes)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	       bytes <= limit.rlim_cur;
}

void *shared_file_map(const char *name, size_t bytes, int *memfd)
{
	void *memory = MAP_FAILED;
	int problem, fd;

	if (!is_allowed(bytes)) {
		errno = EFBIG;
		return NULL;
	}
	fd = create_memfd(name);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			      0);
	if (memory != MAP_FAILED) {
		*memfd = fd;
		return memory;
	}
	problem = errno;
	close(fd);
	errno = problem;
	return NULL;
}
