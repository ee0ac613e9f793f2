/* SPDX-License-Identifier: Apache-2.0 */
#include "provider_directory.h"

#include "process.h"
#include "provider.h"
#include "stub_directory.h"
#include "trusted_environment.h"

#include <pthread.h>
#include <string.h>

/* Shared by all providers. A child of fork shares the files of its parent and the lock on their
 * directory, but only the parent may remove them. Libraries that the child loads go to a directory
 * of its own. */
static struct {
	pthread_mutex_t lock;
	char parent[4096];
	struct stub_directory made;
	size_t libraries;
	unsigned last_generation;
} directory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *directory_parent(void)
{
	const char *variable = trusted_environment("TMPDIR");

	if (directory.parent[0])
		return directory.parent;
	return variable && variable[0] ? variable : "/tmp";
}

void provider_place_in(const char *parent)
{
	pthread_mutex_lock(&directory.lock);
	if (strlen(parent) < sizeof(directory.parent))
		strcpy(directory.parent, parent);
	pthread_mutex_unlock(&directory.lock);
}

unsigned provider_directory_enter(int use_memfd, char *path)
{
	struct stub_error ignored;
	unsigned generation;

	path[0] = '\0';
	pthread_mutex_lock(&directory.lock);
	generation = ++directory.last_generation;
	if (directory.made.owner != this_process())
		directory.libraries = 0;
	if (!use_memfd && (directory.libraries > 0 ||
			   !stub_directory_create(directory_parent(), &directory.made, &ignored))) {
		directory.libraries++;
		strcpy(path, directory.made.path);
	}
	pthread_mutex_unlock(&directory.lock);
	return generation;
}

void provider_directory_leave(void)
{
	pthread_mutex_lock(&directory.lock);
	if (--directory.libraries == 0)
		stub_directory_remove(&directory.made);
	pthread_mutex_unlock(&directory.lock);
}

/* Runs when the process exits or this library is unmapped. Does not wait for a thread that holds
 * the lock: it may be this thread, interrupted by a signal. Another process removes the stale
 * directory then. */
__attribute__((destructor)) static void remove_directory(void)
{
	if (pthread_mutex_trylock(&directory.lock))
		return;
	if (directory.libraries > 0)
		stub_directory_remove(&directory.made);
	pthread_mutex_unlock(&directory.lock);
}
