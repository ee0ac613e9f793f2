/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that fire take no lock and leave no trace, so nobody can know when the last of them is
 * out of a stub or done with a semaphore. Unloading therefore leaves the memory of both in place,
 * as memory of no file (stub_library_retire); destroying, when nobody may fire any more, gives it
 * back.
 */
#include "provider.h"

#include "manifest.h"
#include "process.h"
#include "stub_directory.h"
#include "trusted_environment.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* jprobe.v1.ProbeState: a mark fires from the start. */
#define STATE_ARMED 3

#define NAME_CHARACTERS                                                  \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
	"_-./@#$+"

static const volatile uint16_t NOBODY;

/* One stub library of a provider, the last loaded first. */
struct generation {
	struct stub_library library;
	struct generation *next;
};

struct provider {
	char *name;
	/* Held by whoever changes what follows; one for each provider, because dlopen takes a lock
	 * that other threads hold while they run constructors, which may load providers of their
	 * own. */
	pthread_mutex_t lock;
	int use_memfd;
	struct provider_probe *probes; /* the last added first */
	struct generation *loaded;
	struct generation *retired;
};

/* ---- the stub directory ---- */

/* One for all providers. A child of fork shares the files of its parent, and the lock on their
 * directory, but they are the parent's to remove; what it loads itself goes to a directory of its
 * own. */
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

/* Numbers a library. Its place is written to `path`, "" if a memfd is all that can be had. */
static unsigned enter_directory(int use_memfd, char *path)
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

/* The counterpart of an enter_directory that has given a path. */
static void leave_directory(void)
{
	pthread_mutex_lock(&directory.lock);
	if (--directory.libraries == 0)
		stub_directory_remove(&directory.made);
	pthread_mutex_unlock(&directory.lock);
}

/* When the process exits, or whatever this is linked into is unmapped. A thread that is in the
 * directory right now is not waited for: it may have been this one, before a signal. The next
 * process sweeps then. */
__attribute__((destructor)) static void remove_directory(void)
{
	if (pthread_mutex_trylock(&directory.lock))
		return;
	if (directory.libraries > 0)
		stub_directory_remove(&directory.made);
	pthread_mutex_unlock(&directory.lock);
}

/* ---- making ---- */

static int check_name(const char *what, const char *name, struct stub_error *error)
{
	size_t length = strlen(name);

	if (length == 0 || length > PROVIDER_MAX_NAME || strspn(name, NAME_CHARACTERS) != length) {
		stub_fail(error,
			  "cannot make the %s \"%.40s\": a name has 1 to %d letters, digits and "
			  "characters of \"_-./@#$+\"",
			  what, name, PROVIDER_MAX_NAME);
		return -1;
	}
	return 0;
}

struct provider *provider_create(const char *name, struct stub_error *error)
{
	struct provider *provider;

	if (check_name("provider", name, error))
		return NULL;
	provider = calloc(1, sizeof(*provider));
	if (provider)
		provider->name = strdup(name);
	if (!provider || !provider->name) {
		free(provider);
		stub_fail(error, "no memory for the provider %s", name);
		return NULL;
	}
	pthread_mutex_init(&provider->lock, NULL);
	return provider;
}

void provider_use_memfd(struct provider *provider, int enabled)
{
	pthread_mutex_lock(&provider->lock);
	provider->use_memfd = enabled;
	pthread_mutex_unlock(&provider->lock);
}

/* Size in bytes, negative where signed, of an argument in the note; 0 for what is no type. */
static int8_t note_size(enum argument_type type)
{
	switch (type) {
	case ARGUMENT_UINT8:
	case ARGUMENT_INT8:
	case ARGUMENT_UINT16:
	case ARGUMENT_INT16:
	case ARGUMENT_UINT32:
	case ARGUMENT_INT32:
	case ARGUMENT_UINT64:
	case ARGUMENT_INT64:
		return (int8_t)type;
	case ARGUMENT_FLOAT32:
		return 4;
	case ARGUMENT_FLOAT64:
	case ARGUMENT_STRING:
		return 8;
	}
	return 0;
}

static int check_arguments(const struct provider *provider, const char *name, int count,
			   const enum argument_type *types, struct stub_error *error)
{
	if (count < 0 || count > STUB_MAX_ARGUMENTS) {
		stub_fail(error,
			  "cannot make the probe %s:%s with %d arguments: 0 to %d can be traced",
			  provider->name, name, count, STUB_MAX_ARGUMENTS);
		return -1;
	}
	for (int i = 0; i < count; i++) {
		if (!note_size(types[i])) {
			stub_fail(error,
				  "cannot make the probe %s:%s: argument %d has the type %d, "
				  "which there is not",
				  provider->name, name, i, (int)types[i]);
			return -1;
		}
	}
	return 0;
}

static int has_probe(const struct provider *provider, const char *name)
{
	const struct provider_probe *probe = provider->probes;

	while (probe && strcmp(probe->name, name))
		probe = probe->next;
	return probe != NULL;
}

static struct provider_probe *new_probe(const char *name, int argument_count,
					const enum argument_type *types)
{
	size_t size = strlen(name) + 1;
	/* The name follows the probe. */
	struct provider_probe *probe = calloc(1, sizeof(*probe) + size);

	if (!probe)
		return NULL;
	probe->name = memcpy(probe + 1, name, size);
	probe->argument_count = argument_count;
	if (argument_count)
		memcpy(probe->types, types, sizeof(*types) * (size_t)argument_count);
	atomic_init(&probe->semaphore, &NOBODY);
	atomic_init(&probe->stub, NULL);
	return probe;
}

struct provider_probe *provider_add(struct provider *provider, const char *name, int argument_count,
				    const enum argument_type *types, struct stub_error *error)
{
	struct provider_probe *probe = NULL;

	if (check_name("probe", name, error) ||
	    check_arguments(provider, name, argument_count, types, error))
		return NULL;
	pthread_mutex_lock(&provider->lock);
	if (has_probe(provider, name))
		stub_fail(error, "cannot make a second probe %s:%s: take another name",
			  provider->name, name);
	else if (!(probe = new_probe(name, argument_count, types)))
		stub_fail(error, "no memory for the probe %s:%s", provider->name, name);
	else {
		probe->next = provider->probes;
		provider->probes = probe;
	}
	pthread_mutex_unlock(&provider->lock);
	return probe;
}

/* ---- loading ---- */

/* Those of the provider's probes that are in no library, in the order in which they were added.
 * Returns how many, and writes them to `probes` unless that is NULL. */
static size_t pending(const struct provider *provider, struct provider_probe **probes)
{
	size_t count = 0;
	struct provider_probe *probe;

	for (probe = provider->probes; probe; probe = probe->next)
		count += !atomic_load(&probe->stub);
	if (probes) {
		size_t at = count;

		for (probe = provider->probes; probe; probe = probe->next)
			if (!atomic_load(&probe->stub))
				probes[--at] = probe;
	}
	return count;
}

static void describe(struct stub_probe *described, const struct provider *provider,
		     const struct provider_probe *probe)
{
	described->provider = provider->name;
	described->name = probe->name;
	described->argument_count = probe->argument_count;
	for (int i = 0; i < probe->argument_count; i++)
		described->argument_sizes[i] = note_size(probe->types[i]);
}

/* Writes and maps a library of these probes. */
static int load_probes(struct provider *provider, struct provider_probe *const *probes,
		       size_t count, struct stub_library *library, struct stub_error *error)
{
	struct stub_contents contents = {
		.count = count, .gates = count, .state = STATE_ARMED, .named = 1};
	struct stub_probe *described = calloc(count + 1, sizeof(*described));
	char path[sizeof(directory.made.path)];
	unsigned generation = enter_directory(provider->use_memfd, path);
	void *manifest = manifest_of_marks(provider->name, generation, probes, count,
					   &contents.manifest_size);
	int result = -1;

	if (described && manifest) {
		for (size_t i = 0; i < count; i++)
			describe(&described[i], provider, probes[i]);
		contents.probes = described;
		contents.manifest = manifest;
		result = stub_library_load(path[0] ? path : NULL, generation, &contents, library,
					   error);
	} else
		stub_fail(error, "no memory for a stub library of %zu probes", count);
	/* A library that is a memfd after all has no part in the directory. */
	if (path[0] && (result || library->memfd >= 0))
		leave_directory();
	free(described);
	free(manifest);
	return result;
}

/* The stub first: whoever sees the semaphore must find it. */
static void publish(const struct stub_library *library, struct provider_probe *const *probes)
{
	for (size_t i = 0; i < library->count; i++) {
		atomic_store(&probes[i]->stub, library->stubs + STUB_SLOT_SIZE * i);
		atomic_store(&probes[i]->semaphore, &library->semaphores[i]);
	}
}

int provider_load(struct provider *provider, struct stub_error *error)
{
	struct provider_probe **probes = NULL;
	struct generation *generation = NULL;
	size_t count;
	int result = -1;

	pthread_mutex_lock(&provider->lock);
	count = pending(provider, NULL);
	if (count == 0 && provider->loaded) {
		result = 0;
		goto out;
	}
	probes = calloc(count + 1, sizeof(struct provider_probe *));
	generation = calloc(1, sizeof(*generation));
	if (!probes || !generation) {
		stub_fail(error, "no memory for a stub library of %zu probes", count);
		goto out;
	}
	pending(provider, probes);
	if (load_probes(provider, probes, count, &generation->library, error))
		goto out;
	generation->next = provider->loaded;
	provider->loaded = generation;
	publish(&generation->library, probes);
	generation = NULL;
	result = 0;
out:
	pthread_mutex_unlock(&provider->lock);
	free(generation);
	free(probes);
	return result;
}

int provider_is_loaded(struct provider *provider)
{
	return provider_library(provider) != NULL;
}

const struct stub_library *provider_library(struct provider *provider)
{
	const struct stub_library *library;

	pthread_mutex_lock(&provider->lock);
	library = provider->loaded ? &provider->loaded->library : NULL;
	pthread_mutex_unlock(&provider->lock);
	return library;
}

/* ---- firing ---- */

static uint64_t narrow(enum argument_type type, uint64_t word)
{
	switch (type) {
	case ARGUMENT_UINT8:
		return (uint8_t)word;
	case ARGUMENT_INT8:
		return (uint64_t)(int8_t)word;
	case ARGUMENT_UINT16:
		return (uint16_t)word;
	case ARGUMENT_INT16:
		return (uint64_t)(int16_t)word;
	case ARGUMENT_UINT32:
	case ARGUMENT_FLOAT32:
		return (uint32_t)word;
	case ARGUMENT_INT32:
		return (uint64_t)(int32_t)word;
	default:
		return word;
	}
}

typedef void (*stub)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* All stubs are called with as many words as any takes: what a shorter call would spare is nothing
 * beside a trap. */
void provider_fire(struct provider_probe *probe, const uint64_t *words, uint64_t java_thread)
{
	uint64_t w[STUB_MAX_ARGUMENTS + 1] = {0};
	stub call;

	if (!provider_probe_is_enabled(probe))
		return;
	call = (stub)atomic_load_explicit(&probe->stub, memory_order_acquire);
	if (!call)
		return;
	for (int i = 0; i < probe->argument_count; i++)
		w[i] = narrow(probe->types[i], words[i]);
	w[probe->argument_count] = java_thread;
	call(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12]);
}

/* ---- unloading ---- */

static int retire(struct stub_library *library)
{
	int in_directory = library->memfd < 0 && library->owner == this_process();
	int result = stub_library_retire(library);

	if (in_directory)
		leave_directory();
	return result;
}

int provider_unload(struct provider *provider)
{
	int result = 0;

	pthread_mutex_lock(&provider->lock);
	for (struct provider_probe *probe = provider->probes; probe; probe = probe->next) {
		atomic_store(&probe->semaphore, &NOBODY);
		atomic_store(&probe->stub, NULL);
	}
	while (provider->loaded) {
		struct generation *generation = provider->loaded;

		if (retire(&generation->library))
			result = -1;
		provider->loaded = generation->next;
		generation->next = provider->retired;
		provider->retired = generation;
	}
	pthread_mutex_unlock(&provider->lock);
	return result;
}

void provider_destroy(struct provider *provider)
{
	provider_unload(provider);
	while (provider->retired) {
		struct generation *generation = provider->retired;

		provider->retired = generation->next;
		stub_library_unload(&generation->library);
		free(generation);
	}
	while (provider->probes) {
		struct provider_probe *probe = provider->probes;

		provider->probes = probe->next;
		free(probe);
	}
	pthread_mutex_destroy(&provider->lock);
	free(provider->name);
	free(provider);
}
