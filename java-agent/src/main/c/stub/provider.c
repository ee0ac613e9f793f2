/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads fire without taking a lock or a reference, so the provider cannot know when the last of
 * them has left a stub or has read a semaphore. Unloading therefore keeps the memory of both, as
 * anonymous memory (stub_library_retire). Destroying frees it, when no thread may fire any more.
 */
#include "provider.h"

#include "manifest.h"
#include "probe_names.h"
#include "process.h"
#include "provider_directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_CHARACTERS                                                  \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
	"_-./@#$+"

/* Semaphore of a probe that is not loaded. */
static const volatile uint16_t NOT_LOADED;

/* One stub library of a provider, in a list that begins with the last loaded. */
struct generation {
	struct stub_library library;
	struct generation *next;
};

struct provider {
	char *name;
	/* Guards the fields below. Each provider has its own, because dlopen takes a lock that
	 * other threads hold while they run constructors, which may load other providers. */
	pthread_mutex_t lock;
	int use_memfd;
	struct provider_probe *probes; /* begins with the last added */
	struct probe_names names;
	struct generation *loaded;
	struct generation *retired;
};

/* ---- creation ---- */

static int check_name(const char *what, const char *name, struct stub_error *error)
{
	size_t length = strlen(name);

	if (length == 0 || length > PROVIDER_MAX_NAME || strspn(name, NAME_CHARACTERS) != length) {
		stub_fail(error,
			  "cannot create the %s \"%.40s\": a name has 1 to %d letters, digits and "
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

static int check_arguments(const struct provider *provider, const char *name, int count,
			   const enum argument_type *types, struct stub_error *error)
{
	if (count < 0 || count > STUB_MAX_ARGUMENTS) {
		stub_fail(error,
			  "cannot create the probe %s:%s with %d arguments: 0 to %d are allowed",
			  provider->name, name, count, STUB_MAX_ARGUMENTS);
		return -1;
	}
	for (int i = 0; i < count; i++) {
		if (!argument_note_size(types[i])) {
			stub_fail(error,
				  "cannot create the probe %s:%s: argument %d has the unknown type "
				  "%d",
				  provider->name, name, i, (int)types[i]);
			return -1;
		}
	}
	return 0;
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
	atomic_init(&probe->semaphore, &NOT_LOADED);
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
	if (probe_names_find(&provider->names, name))
		stub_fail(error, "cannot create a second probe %s:%s: use another name",
			  provider->name, name);
	else if (probe_names_reserve(&provider->names) ||
		 !(probe = new_probe(name, argument_count, types)))
		stub_fail(error, "no memory for the probe %s:%s", provider->name, name);
	else {
		probe_names_add(&provider->names, probe);
		probe->next = provider->probes;
		provider->probes = probe;
	}
	pthread_mutex_unlock(&provider->lock);
	return probe;
}

/* ---- loading ---- */

/* Returns the number of probes that no library contains yet. Writes them to `probes`, in the order
 * in which they were added, unless that is NULL. */
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
		described->argument_sizes[i] = argument_note_size(probe->types[i]);
}

/* Writes and maps a library of these probes. */
static int load_probes(struct provider *provider, struct provider_probe *const *probes,
		       size_t count, struct stub_library *library, struct stub_error *error)
{
	/* A user-defined probe is armed from the start. */
	struct stub_contents contents = {
		.count = count, .gates = count, .state = PROBE_STATE_ARMED, .named = 1};
	struct stub_probe *described = calloc(count + 1, sizeof(*described));
	char path[sizeof(((struct stub_directory *)NULL)->path)];
	unsigned generation = provider_directory_enter(provider->use_memfd, path);
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
	/* A library that became a memfd does not use the directory. */
	if (path[0] && (result || library->memfd >= 0))
		provider_directory_leave();
	free(described);
	free(manifest);
	return result;
}

/* Publishes the stub first: a thread that sees the semaphore must find it. */
static void publish(const struct stub_library *library, struct provider_probe *const *probes)
{
	for (size_t i = 0; i < library->count; i++) {
		atomic_store(&probes[i]->stub, library->stubs + SLOT_BYTES * i);
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

typedef void (*stub)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* Calls every stub with the maximum number of words: a shorter call would save nothing measurable
 * compared with the trap. */
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
		w[i] = argument_narrow(probe->types[i], words[i]);
	w[probe->argument_count] = java_thread;
	call(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12]);
}

/* ---- unloading ---- */

static int retire(struct stub_library *library)
{
	int in_directory = library->memfd < 0 && library->owner == this_process();
	int result = stub_library_retire(library);

	if (in_directory)
		provider_directory_leave();
	return result;
}

int provider_unload(struct provider *provider)
{
	int result = 0;

	pthread_mutex_lock(&provider->lock);
	for (struct provider_probe *probe = provider->probes; probe; probe = probe->next) {
		atomic_store(&probe->semaphore, &NOT_LOADED);
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
	probe_names_free(&provider->names);
	pthread_mutex_destroy(&provider->lock);
	free(provider->name);
	free(provider);
}
