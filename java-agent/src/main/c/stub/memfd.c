/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "memfd.h"

#include <errno.h>
#include <sys/mman.h>

/* Missing from Debian 12's headers. Linux before 6.3 rejects the flag. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int create_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	/* Linux before 6.3 rejects the flag. PROT_EXEC is allowed with and without it. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}
