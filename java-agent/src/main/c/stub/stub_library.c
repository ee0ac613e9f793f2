/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "stub_library.h"

#include "memfd.h"
#include "process.h"
#include "stub_image.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS "/proc/self/fd"

/* Writes one of many names of a file, a different one for each number: "/tmp/7.so", "/tmp/./7.so"
 * and, because empty components are ignored, "/tmp//./7.so". dlopen compares names before files and
 * still knows retired libraries by the names of descriptors that have been reused. */
static int write_name(char *name, size_t room, const char *folder, const char *file,
		      unsigned number)
{
	size_t length = strlen(folder);

	/* Two bytes per bit, a slash before the file, and the NUL. */
	if (length + strlen(file) + 2 * 32 + 2 > room)
		return -1;
	memcpy(name, folder, length);
	for (; number; number >>= 1) {
		name[length++] = '/';
		if (number & 1)
			name[length++] = '.';
	}
	name[length++] = '/';
	strcpy(name + length, file);
	return 0;
}

static int is_known(const char *name)
{
	void *handle = dlopen(name, RTLD_NOW | RTLD_NOLOAD);

	if (handle)
		dlclose(handle);
	return handle != NULL;
}

/* Returns dlerror's message without the name, which only identifies a descriptor. */
static const char *reason_of(const char *problem, const char *name)
{
	size_t length = strlen(name);

	if (!problem)
		return "the C library does not say why";
	return strncmp(problem, name, length) || strncmp(problem + length, ": ", 2)
		       ? problem
		       : problem + length + 2;
}

/* Opens the file by its name of this number, or of the next number that dlopen does not know. */
static int map_library(struct stub_library *library, const char *folder, const char *file,
		       unsigned number, struct stub_error *error)
{
	char name[sizeof(library->path)];
	struct link_map *map;

	do {
		if (write_name(name, sizeof(name), folder, file, number++)) {
			stub_fail(error, "the path of the stub directory is too long: %s", folder);
			return -1;
		}
	} while (is_known(name));
	library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library->handle || dlinfo(library->handle, RTLD_DI_LINKMAP, &map)) {
		stub_fail(error, "cannot map the stub library: %s: %s", library->path,
			  reason_of(dlerror(), name));
		error->failure = STUB_NOT_MAPPED;
		return -1;
	}
	library->base = (unsigned char *)map->l_addr;
	library->stubs = dlsym(library->handle, SYMBOL_STUBS);
	library->semaphores = dlsym(library->handle, SYMBOL_SEMAPHORES);
	library->direct = dlsym(library->handle, SYMBOL_DIRECT);
	library->states = dlsym(library->handle, SYMBOL_STATES);
	library->gates = dlsym(library->handle, SYMBOL_GATES);
	return 0;
}

/* Opens the file by its descriptor, because a user who may rename entries of the parent directory
 * could have replaced the file. Without /proc, uses the path. */
static int map_file(struct stub_library *library, const char *directory, const char *file, int fd,
		    unsigned generation, struct stub_error *error)
{
	char name[64];

	snprintf(name, sizeof(name), DESCRIPTORS "/%d", fd);
	if (access(name, F_OK))
		return map_library(library, directory, file, 0, error);
	return map_library(library, DESCRIPTORS, name + sizeof(DESCRIPTORS), generation, error);
}

static int load_from_file(const char *directory, unsigned generation,
			  const struct stub_contents *contents, struct stub_library *library,
			  struct stub_error *error)
{
	char file[32];
	int length;
	int fd;

	snprintf(file, sizeof(file), "%u.so", generation);
	length = snprintf(library->path, sizeof(library->path), "%s/%s", directory, file);

	if (length < 0 || (size_t)length >= sizeof(library->path)) {
		stub_fail(error, "the path of the stub directory is too long: %s", directory);
		return -1;
	}
	fd = open(library->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		stub_fail(error, "cannot create %s: %s", library->path, strerror(errno));
		error->failure = STUB_NO_FILE;
		return -1;
	}
	/* The umask may have removed the owner's permissions too. */
	fchmod(fd, 0600);
	if (stub_image_write(fd, contents, error) ||
	    map_file(library, directory, file, fd, generation, error)) {
		close(fd);
		unlink(library->path);
		return -1;
	}
	close(fd);
	return 0;
}

static int load_from_memory(unsigned generation, const struct stub_contents *contents,
			    struct stub_library *library, struct stub_error *error)
{
	char name[32];
	char file[32];

	snprintf(name, sizeof(name), "jprobe-%u", generation);
	library->memfd = create_memfd(name);
	if (library->memfd < 0) {
		stub_fail(error, "cannot create a memfd: %s", strerror(errno));
		error->failure = STUB_NO_FILE;
		return -1;
	}
	snprintf(library->path, sizeof(library->path), "/memfd:%s", name);
	snprintf(file, sizeof(file), "%d", library->memfd);
	if (stub_image_write(library->memfd, contents, error))
		goto failed;
	if (fcntl(library->memfd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		stub_fail(error, "cannot seal a memfd: %s", strerror(errno));
		goto failed;
	}
	if (map_library(library, DESCRIPTORS, file, generation, error))
		goto failed;
	return 0;
failed:
	close(library->memfd);
	library->memfd = -1;
	return -1;
}

int stub_library_load(const char *directory, unsigned generation,
		      const struct stub_contents *contents, struct stub_library *library,
		      struct stub_error *error)
{
	struct stub_error of_file, of_memory;

	memset(library, 0, sizeof(*library));
	library->memfd = -1;
	library->owner = this_process();
	library->count = contents->count;
	library->gate_count = contents->gates;
	if (!directory)
		return load_from_memory(generation, contents, library, error);
	if (!load_from_file(directory, generation, contents, library, error))
		return 0;
	of_file = *error;
	/* A memfd works if the file system is full or mounted noexec. */
	if (!load_from_memory(generation, contents, library, error))
		return 0;
	of_memory = *error;
	stub_fail(error, "%s; and in memory: %s", of_file.text, of_memory.text);
	error->failure = of_memory.failure;
	return -1;
}
