/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls libstapsdt's interface, and the image writer and directory below it, at random: bad names
 * and types, thousands of probes, forks, failing calls. The sanitizers report memory errors; this
 * program checks invariants. See fuzz_stapsdt.py.
 *
 *     fuzz_stapsdt SEED SECONDS DIRECTORY
 */
#define _GNU_SOURCE
#include "faults.h"
#include "fuzzing.h"

#include "libstapsdt.h"
#undef errno
#include "stub_directory.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROVIDERS 5
#define MAX_PROBES 3000
#define MAX_TEXT 5000

static const ArgType_t TYPES[] = {uint8,  int8,	 uint16,     int16,	 uint32,    int32,
				  uint64, int64, sdtFloat32, sdtFloat64, sdtString, noarg};

static const char *directory;

struct slot {
	SDTProvider_t *provider;
	SDTProbe_t *probes[MAX_PROBES];
	size_t count;
	size_t pending; /* Added since the last load. */
};

static struct slot slots[PROVIDERS];

/* ---- providers ---- */

static void init(struct slot *slot)
{
	char name[MAX_NAMES];

	slot->provider = providerInit(random_name(name));
	slot->count = slot->pending = 0;
	if (slot->provider)
		require(!strcmp(slot->provider->name, name), "a provider has its name");
}

static void add(struct slot *slot)
{
	char name[MAX_NAMES];
	int t[16];
	int count = (int)random_below(random_below(9) ? 13 : 17) - !random_below(30);
	SDTProbe_t *probe;

	for (int i = 0; i < 16; i++)
		t[i] = random_below(40)
			       ? (int)TYPES[random_below(sizeof(TYPES) / sizeof(*TYPES) - 1)]
			       : (int)random_below(1u << 31);
	probe = providerAddProbe(slot->provider, random_name(name), count, t[0], t[1], t[2], t[3],
				 t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13],
				 t[14], t[15]);
	if (!probe)
		return;
	require(count >= 0 && count <= SDT_MAX_ARGUMENTS,
		"a probe has as many arguments as it may");
	require(!probe->_fire && !probeIsEnabled(probe), "a new probe is not loaded");
	slot->probes[slot->count++] = probe;
	slot->pending++;
}

static void add_many(struct slot *slot)
{
	size_t most = (size_t)random_below(random_below(20) ? 40 : MAX_PROBES);

	while (most-- && slot->count < MAX_PROBES)
		add(slot);
}

/* Increments semaphores, as the kernel does for a tracer. */
static void raise_some(struct slot *slot)
{
	uint16_t *semaphores = dlsym(slot->provider->_handle, SYMBOL_SEMAPHORES);

	require(semaphores != NULL, "a library has semaphores");
	for (size_t i = 0; i < slot->pending; i++)
		__atomic_store_n(&semaphores[i], (uint16_t)random_below(2), __ATOMIC_RELAXED);
}

static void check_file(const SDTProvider_t *provider)
{
	char magic[4] = "";
	int file = open(provider->_filename, O_RDONLY | O_CLOEXEC);

	require(file >= 0 && pread(file, magic, 4, 0) == 4, "the library can be opened");
	require(!memcmp(magic, "\177ELF", 4), "the library is one");
	close(file);
}

static void load(struct slot *slot)
{
	mode_t before = umask((mode_t)random_below(4) ? 022 : (mode_t)random_below(01000));
	size_t known = slot->count - slot->pending;
	int result = providerLoad(slot->provider);

	umask(before);
	fail_one_in(0);
	if (result) {
		require(slot->provider->error || failed_calls(), "a failure has its reason");
		return;
	}
	for (size_t i = 0; i < slot->count; i++)
		require(slot->probes[i]->_fire != NULL, "every probe has a stub");
	if (slot->pending || known == 0)
		raise_some(slot);
	if (slot->provider->_filename)
		check_file(slot->provider);
	slot->pending = 0;
}

static void unload(struct slot *slot)
{
	providerUnload(slot->provider);
	for (size_t i = 0; i < slot->count; i++)
		require(!slot->probes[i]->_fire && !probeIsEnabled(slot->probes[i]),
			"no probe is left");
	slot->pending = slot->count;
}

static void destroy(struct slot *slot)
{
	providerDestroy(slot->provider);
	memset(slot, 0, sizeof(*slot));
}

/* ---- firing ---- */

/* Integers and texts are passed in general registers and on the stack, floating-point numbers in
 * floating-point registers. With few enough of each, one call serves all probes. */
static void fire(SDTProbe_t *probe, char *text)
{
	long w[SDT_MAX_ARGUMENTS];
	double d = (double)random_below(1000) / 8;
	size_t length = (size_t)random_below(random_below(4) ? 40 : MAX_TEXT - 2);
	int is_text_odd = (int)random_below(2);
	int general = 0;

	random_bytes(text + is_text_odd, length);
	for (int i = 0; i < SDT_MAX_ARGUMENTS; i++)
		w[i] = (long)(random_below(UINT64_MAX));
	for (int i = 0; i < probe->argCount && i < MAX_ARGUMENTS; i++) {
		if (probe->argFmt[i] == sdtString)
			w[general] = random_below(5) ? (long)(text + is_text_odd) : 0;
		general += probe->argFmt[i] != sdtFloat32 && probe->argFmt[i] != sdtFloat64;
	}
	if (probe->argCount <= 5)
		probeFire(probe, w[0], w[1], w[2], w[3], w[4], d, d, d, d, d);
}

static void fire_all(struct slot *slot)
{
	static char text[MAX_TEXT];

	for (int i = 0; i < 50 && slot->count; i++)
		fire(slot->probes[random_below(slot->count)], text);
	probeFire(NULL);
	require(!probeIsEnabled(NULL), "nothing is not enabled");
}

struct firing {
	SDTProbe_t *probe;
	uint64_t seed;
};

static void *fire_on_and_on(void *argument)
{
	struct firing *firing = argument;
	char text[MAX_TEXT];

	seed_random(firing->seed);
	for (int i = 0; i < 300; i++)
		fire(firing->probe, text);
	return NULL;
}

/* Threads fire while their provider is loaded and unloaded. */
static void fire_meanwhile(struct slot *slot)
{
	struct firing firings[2];
	pthread_t threads[2];

	fail_one_in(0);
	if (!slot->count)
		return;
	for (int i = 0; i < 2; i++) {
		firings[i].probe = slot->probes[random_below(slot->count)];
		firings[i].seed = random_below(UINT64_MAX);
		require(!pthread_create(&threads[i], NULL, fire_on_and_on, &firings[i]),
			"a thread");
	}
	for (int i = 0; i < 3; i++) {
		load(slot);
		unload(slot);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* ---- children ---- */

/* A child has its own directory and does not change its parent's, however it exits. */
static void fork_one(struct slot *slot)
{
	pid_t child;
	int status;

	fail_one_in(0);
	child = fork();
	if (child == 0) {
		if (random_below(2))
			unload(slot);
		if (random_below(2))
			load(slot);
		if (random_below(2))
			destroy(slot);
		_exit(0);
	}
	require(waitpid(child, &status, 0) == child && status == 0, "a child has ended well");
	if (slot->provider->_filename)
		check_file(slot->provider);
}

/* ---- main ---- */

static void act(void)
{
	struct slot *slot = &slots[random_below(PROVIDERS)];

	fail_one_in(random_below(3) ? 0 : 2 + (unsigned)random_below(20));
	if (!slot->provider) {
		init(slot);
		return;
	}
	switch (random_below(20)) {
	case 0:
		providerUseMemfd(slot->provider, random_below(2) ? memfd_enabled : memfd_disabled);
		break;
	case 1:
	case 2:
	case 3:
		add_many(slot);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		load(slot);
		break;
	case 8:
		unload(slot);
		break;
	case 9:
		destroy(slot);
		break;
	case 10:
		fire_meanwhile(slot);
		break;
	case 11:
		if (!random_below(10))
			fork_one(slot);
		break;
	case 12:
	case 13:
		write_library(directory);
		break;
	case 14:
		make_directory(directory);
		break;
	default:
		fire_all(slot);
	}
	fail_one_in(0);
}

static size_t open_files(void)
{
	DIR *entries = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(entries))
		count++;
	closedir(entries);
	return count;
}

/* Checks that only stale directories are left, which the next process removes. */
static void end(size_t files)
{
	struct stub_directory last;
	struct stub_error error;

	for (int i = 0; i < PROVIDERS; i++)
		if (slots[i].provider)
			destroy(&slots[i]);
	require(!stub_directory_create(directory, &last, &error), "a directory can be made");
	stub_directory_remove(&last);
	require(open_files() == files, "no descriptor is left open");
}

int main(int count, char **arguments)
{
	unsigned long iterations = 0;
	size_t files = open_files();
	time_t until;

	if (count != 4)
		return 2;
	seed_random(strtoull(arguments[1], NULL, 10));
	until = time(NULL) + atol(arguments[2]);
	directory = arguments[3];
	setenv("TMPDIR", directory, 1);
	for (; time(NULL) < until; iterations++)
		act();
	end(files);
	printf("%lu operations, %lu calls failed\n", iterations, failed_calls());
	return 0;
}
