/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests user-defined probes without a tracer, with one thread and with many: mappings and
 * leftovers. The argument is an empty directory.
 */
#include "../../main/c/stub/provider.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void check(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		failures++;
	}
}

/* Returns the number of entries of a directory, without "." and "..". */
static size_t count_entries(const char *path)
{
	DIR *entries = opendir(path);
	size_t count = 0;

	while (readdir(entries))
		count++;
	closedir(entries);
	return count - 2;
}

/* Returns the number of accessible mappings of stub library files. */
static size_t count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	size_t count = 0;

	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "jprobe-") && !strstr(line, " ---p ");
	fclose(maps);
	return count;
}

static struct provider *new_provider(const char *name)
{
	struct stub_error error;
	struct provider *provider = provider_create(name, &error);

	check(provider != NULL, "a provider is made");
	return provider;
}

static struct provider_probe *add(struct provider *provider, const char *name)
{
	static const enum argument_type types[] = {ARGUMENT_INT64, ARGUMENT_STRING};
	struct stub_error error;
	struct provider_probe *probe = provider_add(provider, name, 2, types, &error);

	check(probe != NULL, "a probe is added");
	return probe;
}

static void load(struct provider *provider)
{
	struct stub_error error;

	if (provider_load(provider, &error)) {
		printf("FAILED: %s\n", error.text);
		failures++;
	}
}

/* Increments the semaphore as the kernel does for a tracer. */
static void raise_semaphore(const struct provider_probe *probe)
{
	__atomic_fetch_add((uint16_t *)probe->semaphore, 1, __ATOMIC_RELAXED);
}

static void fire(struct provider_probe *probe)
{
	uint64_t words[] = {42, 0};

	provider_fire(probe, words, 0);
}

static void a_probe_lives_from_load_to_unload(const char *parent, int memfd)
{
	struct provider *provider = new_provider("orders");
	struct provider_probe *placed = add(provider, "placed");
	struct provider_probe *paid;
	const volatile uint16_t *semaphore;

	provider_use_memfd(provider, memfd);
	check(!provider_is_loaded(provider), "a provider is not loaded at first");
	check(!provider_probe_is_enabled(placed), "a probe that is not loaded is not enabled");
	fire(placed);
	load(provider);
	check(provider_is_loaded(provider), "a provider is loaded");
	check(provider_library(provider)->states[0] == PROBE_STATE_ARMED,
	      "a mark is armed from the start");
	check(dlsym(provider_library(provider)->handle, "placed") == placed->stub,
	      "a stub is found by the name of its probe");
	check(!provider_probe_is_enabled(placed), "no tracer is attached yet");
	raise_semaphore(placed);
	check(provider_probe_is_enabled(placed), "a raised semaphore enables");
	fire(placed);

	paid = add(provider, SYMBOL_STUBS);
	load(provider);
	check(provider_probe_is_enabled(placed), "a second load leaves the first probes alone");
	check(paid->stub && paid->stub != placed->stub, "a probe can be added after a load");
	check(count_entries(parent) == !memfd, "one stub directory serves all");

	semaphore = placed->semaphore;
	check(provider_unload(provider) == 0, "a provider is unloaded");
	check(*semaphore == 0, "a semaphore can be read after the unload, and is 0");
	check(!provider_probe_is_enabled(placed), "an unloaded probe is not enabled");
	fire(placed);
	check(count_mappings() == 0, "no mapping of a file is left");
	check(count_entries(parent) == 0, "no file is left");

	load(provider);
	check(provider_library(provider)->count == 2, "after an unload all probes are loaded");
	check(!provider_probe_is_enabled(placed), "a new semaphore starts at 0");
	provider_destroy(provider);
	check(count_mappings() == 0 && count_entries(parent) == 0, "nothing is left");
}

/* A thread may have read the stub's address, or be executing the stub, when the library is
 * retired. */
static void stubs_can_be_called_until_the_end(void)
{
	struct provider *provider = new_provider("orders");
	struct provider_probe *placed = add(provider, "placed");
	unsigned char *stub;

	load(provider);
	stub = placed->stub;
	provider_unload(provider);
	((void (*)(long, long))stub)(1, 2);
	check(stub[0] == 0x90 || stub[0] == 0x1f, "the stub is unchanged");
	provider_destroy(provider);
}

static void two_providers_share_a_directory(const char *parent)
{
	struct provider *first = new_provider("first");
	struct provider *second = new_provider("second");

	add(first, "p");
	add(second, "p");
	load(first);
	load(second);
	check(count_entries(parent) == 1, "there is one directory");
	provider_destroy(first);
	check(count_entries(parent) == 1, "it is there for the second provider");
	provider_destroy(second);
	check(count_entries(parent) == 0, "the last one removes it");
}

static void names_and_arguments_are_checked(void)
{
	static const char *const names[] = {"", "a b", "a:b", "p*", "\xc3\xa9", "\n"};
	enum argument_type types[STUB_MAX_ARGUMENTS + 1];
	char name[PROVIDER_MAX_NAME + 2];
	struct stub_error error;
	struct provider *provider;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check(!provider_create(names[i], &error), "an invalid name is rejected");
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	check(!provider_create(name, &error), "a long name is rejected");
	name[PROVIDER_MAX_NAME] = '\0';
	provider = new_provider(name);
	for (int i = 0; i <= STUB_MAX_ARGUMENTS; i++)
		types[i] = ARGUMENT_INT64;
	check(!provider_add(provider, "p", STUB_MAX_ARGUMENTS + 1, types, &error) &&
		      strstr(error.text, "13 arguments"),
	      "13 arguments are rejected");
	check(!provider_add(provider, "p", -1, types, &error), "-1 arguments are rejected");
	types[3] = (enum argument_type)3;
	check(!provider_add(provider, "p", STUB_MAX_ARGUMENTS, types, &error) &&
		      strstr(error.text, "argument 3 has the unknown type 3"),
	      "an unknown type is rejected");
	check(provider_add(provider, "p", 0, NULL, &error) != NULL,
	      "a probe without arguments is accepted");
	check(!provider_add(provider, "p", 0, NULL, &error) && strstr(error.text, "second"),
	      "a second probe of a name is rejected");
	provider_destroy(provider);
}

/* Out of descriptors, neither a file nor a memfd can be created. */
__attribute__((unused)) static void a_failed_load_changes_nothing(const char *parent)
{
	struct provider *provider = new_provider("orders");
	struct provider_probe *placed = add(provider, "placed");
	size_t open_files = count_entries("/proc/self/fd");
	struct rlimit limit;
	struct rlimit none;
	struct stub_error error;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	for (rlim_t files = 0; files < 8; files++) {
		none.rlim_cur = files;
		setrlimit(RLIMIT_NOFILE, &none);
		if (provider_load(provider, &error)) {
			check(error.failure != STUB_NOT_WRITTEN, "the reason is known");
			check(!provider_is_loaded(provider) && !placed->stub,
			      "the provider reports that it is not loaded");
		} else
			provider_unload(provider);
		setrlimit(RLIMIT_NOFILE, &limit);
		check(count_entries("/proc/self/fd") == open_files, "no descriptor is left");
		check(count_entries(parent) == 0, "no directory is left");
	}
	load(provider);
	provider_destroy(provider);
}

static void a_child_leaves_its_parents_files_alone(const char *parent)
{
	struct provider *provider = new_provider("orders");
	struct provider_probe *placed = add(provider, "placed");
	int status;
	pid_t child;

	load(provider);
	child = fork();
	if (child == 0) {
		struct provider *own = new_provider("own");

		add(own, "p");
		load(own);
		check(count_entries(parent) == 2, "a child has its own directory");
		raise_semaphore(placed);
		provider_destroy(provider);
		check(count_mappings() > 0, "its own library is still mapped");
		check(count_entries(parent) == 2, "its parent's directory is there");
		exit(failures != 0);
	}
	waitpid(child, &status, 0);
	check(status == 0, "the child has done its part");
	check(count_entries(parent) == 1, "a child removes its own directory at its exit");
	check(!provider_probe_is_enabled(placed), "semaphores are not shared with children");
	check(access(provider_library(provider)->path, R_OK) == 0, "the file is there");
	provider_destroy(provider);
}

/* Missing from Debian 12's headers. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* Simulates systemd's MemoryDenyWriteExecute. Has no effect before Linux 6.3. */
__attribute__((unused)) static void
a_process_that_may_not_make_code_keeps_its_stubs(const char *parent)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		int refused = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
		struct provider *provider = new_provider("strict");
		struct provider_probe *placed = add(provider, "placed");
		const volatile uint16_t *semaphore;
		unsigned char *stub;

		load(provider);
		raise_semaphore(placed);
		semaphore = placed->semaphore;
		stub = placed->stub;
		provider_unload(provider);
		check(count_mappings() == (refused ? 1 : 0), "the stubs are still the file's");
		((void (*)(long, long))stub)(1, 2);
		check(*semaphore == 0, "a semaphore is 0 after the unload");
		check(count_entries(parent) == 0, "no file is left");
		provider_destroy(provider);
		check(count_mappings() == 0, "nothing is left");
		exit(failures != 0);
	}
	waitpid(child, &status, 0);
	check(status == 0, "the child has done its part");
}

/* ---- many threads ---- */

/* valgrind runs one thread at a time, slowly. */
#ifdef VALGRIND
#define THREADS 2
#define ROUNDS 8
#else
#define THREADS 8
#define ROUNDS 100
#endif

static struct provider_probe *_Atomic shared[4];
static atomic_int stopped;

static void *fire_all(void *unused)
{
	(void)unused;
	while (!atomic_load(&stopped))
		for (size_t i = 0; i < 4; i++)
			if (provider_probe_is_enabled(shared[i]))
				fire(shared[i]);
	return NULL;
}

static void threads_fire_while_others_load_and_unload(void)
{
	struct provider *provider = new_provider("busy");
	pthread_t threads[THREADS];
	char name[32];

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "p%zu", i);
		shared[i] = add(provider, name);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fire_all, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		load(provider);
		for (size_t i = 0; i < 4; i++)
			raise_semaphore(shared[i]);
		snprintf(name, sizeof(name), "later%d", round);
		shared[round % 4] = add(provider, name);
		provider_use_memfd(provider, round % 2);
		load(provider);
		raise_semaphore(shared[round % 4]);
		provider_unload(provider);
	}
	atomic_store(&stopped, 1);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	provider_destroy(provider);
}

static void *make_and_destroy(void *name)
{
	for (int round = 0; round < ROUNDS / 4; round++) {
		struct provider *provider = new_provider(name);

		add(provider, "p");
		load(provider);
		provider_destroy(provider);
	}
	return NULL;
}

__attribute__((unused)) static void threads_make_providers_of_their_own(const char *parent)
{
	static char names[THREADS][16];
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		snprintf(names[i], sizeof(names[i]), "own%zu", i);
		pthread_create(&threads[i], NULL, make_and_destroy, names[i]);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check(count_entries(parent) == 0, "no directory is left");
}

int main(int count, char **arguments)
{
	size_t open_files;

	if (count != 2)
		return 2;
	provider_place_in(arguments[1]);
	open_files = count_entries("/proc/self/fd");
	a_probe_lives_from_load_to_unload(arguments[1], 0);
	a_probe_lives_from_load_to_unload(arguments[1], 1);
	stubs_can_be_called_until_the_end();
	two_providers_share_a_directory(arguments[1]);
	names_and_arguments_are_checked();
	a_child_leaves_its_parents_files_alone(arguments[1]);
	/* Under valgrind an open that fails because no descriptors are left creates its file, and
	 * PR_SET_MDWE is unknown. */
#ifndef VALGRIND
	a_failed_load_changes_nothing(arguments[1]);
	a_process_that_may_not_make_code_keeps_its_stubs(arguments[1]);
#endif
	threads_fire_while_others_load_and_unload();
	/* ThreadSanitizer does not know that dlopen orders accesses to a reused address. */
#ifndef __SANITIZE_THREAD__
	threads_make_providers_of_their_own(arguments[1]);
#endif
	check(count_entries("/proc/self/fd") == open_files, "no descriptor is left");
	return failures != 0;
}
