/* SPDX-License-Identifier: Apache-2.0
 *
 * libstapsdt's interface to user-defined probes. Programs see the public part of each structure,
 * which comes first and keeps the layout that they were compiled for. The private part follows it.
 */
#include "../stub/provider.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All other symbols are hidden. */
#pragma GCC visibility push(default)
#include "libstapsdt.h"
#pragma GCC visibility pop

/* Types are passed on unchanged. The public header cannot include internal ones. */
#define SAME(theirs, ours) _Static_assert((int)(theirs) == (int)(ours), #theirs " is not " #ours)
SAME(uint8, ARGUMENT_UINT8);
SAME(int8, ARGUMENT_INT8);
SAME(uint16, ARGUMENT_UINT16);
SAME(int16, ARGUMENT_INT16);
SAME(uint32, ARGUMENT_UINT32);
SAME(int32, ARGUMENT_INT32);
SAME(uint64, ARGUMENT_UINT64);
SAME(int64, ARGUMENT_INT64);
SAME(sdtFloat32, ARGUMENT_FLOAT32);
SAME(sdtFloat64, ARGUMENT_FLOAT64);
SAME(sdtString, ARGUMENT_STRING);

/* Maximum length of a copied text in bytes: as much as jcollect reads. */

struct listed_probe {
	SDTProbeList_t public;
	struct provider_probe *made;
};

struct whole_provider {
	SDTProvider_t public;
	struct provider *made; /* NULL: its name was rejected */
	pthread_mutex_t lock;  /* guards the public part */
};

static struct whole_provider *whole(SDTProvider_t *provider)
{
	return (struct whole_provider *)provider;
}

static struct provider_probe *made(SDTProbe_t *probe)
{
	return ((struct listed_probe *)probe)->made;
}

static void set_error(SDTProvider_t *provider, SDTError_t code, const char *text)
{
	free(provider->error);
	provider->error = strdup(text);
	provider->errno = code;
}

SDTProvider_t *providerInit(const char *name)
{
	struct whole_provider *provider = calloc(1, sizeof(*provider));
	struct stub_error error;

	if (!provider)
		return NULL;
	provider->public.name = strdup(name);
	if (!provider->public.name) {
		free(provider);
		return NULL;
	}
	provider->public.errno = noError;
	provider->public._memfd = -1;
	provider->public._use_memfd = memfd_disabled;
	pthread_mutex_init(&provider->lock, NULL);
	provider->made = provider_create(name, &error);
	if (!provider->made)
		set_error(&provider->public, tmpCreationError, error.text);
	return &provider->public;
}

int providerUseMemfd(SDTProvider_t *provider, const MemFDOption_t use_memfd)
{
	pthread_mutex_lock(&whole(provider)->lock);
	provider->_use_memfd = use_memfd;
	pthread_mutex_unlock(&whole(provider)->lock);
	return 1;
}

/* ---- probes ---- */

static struct listed_probe *new_listed(SDTProvider_t *provider, const char *name,
				       int argument_count, const enum argument_type *types)
{
	struct listed_probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return NULL;
	probe->public.probe.name = strdup(name);
	if (!probe->public.probe.name) {
		free(probe);
		return NULL;
	}
	probe->public.probe.provider = provider;
	probe->public.probe.argCount = argument_count;
	for (int i = 0; i < argument_count && i < MAX_ARGUMENTS; i++)
		probe->public.probe.argFmt[i] = (ArgType_t)types[i];
	return probe;
}

static void free_listed(struct listed_probe *probe)
{
	free(probe->public.probe.name);
	free(probe);
}

static SDTProbe_t *add(SDTProvider_t *provider, const char *name, int argument_count,
		       const enum argument_type *types)
{
	struct listed_probe *probe;
	struct stub_error error;

	if (!whole(provider)->made) {
		set_error(provider, tmpCreationError,
			  "cannot add a probe: the name of the provider is not valid");
		return NULL;
	}
	probe = new_listed(provider, name, argument_count, types);
	if (!probe) {
		set_error(provider, elfCreationError, "no memory for a probe");
		return NULL;
	}
	probe->made = provider_add(whole(provider)->made, name, argument_count, types, &error);
	if (!probe->made) {
		set_error(provider, symbolLoadingError, error.text);
		free_listed(probe);
		return NULL;
	}
	probe->public.next = provider->probes;
	provider->probes = &probe->public;
	return &probe->public.probe;
}

SDTProbe_t *providerAddProbe(SDTProvider_t *provider, const char *name, int argCount, ...)
{
	enum argument_type types[SDT_MAX_ARGUMENTS];
	SDTProbe_t *probe;
	va_list arguments;

	va_start(arguments, argCount);
	for (int i = 0; i < argCount && i < SDT_MAX_ARGUMENTS; i++)
		types[i] = va_arg(arguments, int);
	va_end(arguments);
	pthread_mutex_lock(&whole(provider)->lock);
	probe = add(provider, name, argCount, types);
	pthread_mutex_unlock(&whole(provider)->lock);
	return probe;
}

/* ---- loading ---- */

static SDTError_t code_of(enum stub_failure failure)
{
	switch (failure) {
	case STUB_NO_FILE:
		return tmpCreationError;
	case STUB_NOT_MAPPED:
		return sharedLibraryOpenError;
	case STUB_NOT_WRITTEN:
		break;
	}
	return elfCreationError;
}

/* Updates the public part. `library` is NULL if no library is loaded. */
static void show(SDTProvider_t *provider, const struct stub_library *library)
{
	char path[32];

	free(provider->_filename);
	provider->_filename = NULL;
	provider->_handle = library ? library->handle : NULL;
	provider->_memfd = library ? library->memfd : -1;
	if (library && library->memfd >= 0) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), library->memfd);
		provider->_filename = strdup(path);
	} else if (library)
		provider->_filename = strdup(library->path);
	for (SDTProbeList_t *node = provider->probes; node; node = node->next)
		node->probe._fire = atomic_load(&made(&node->probe)->stub);
}

static int load(SDTProvider_t *provider)
{
	struct provider *loaded = whole(provider)->made;
	struct stub_error error;

	/* providerInit has set the error. */
	if (!loaded)
		return -1;
	provider_use_memfd(loaded, provider->_use_memfd == memfd_enabled);
	if (provider_load(loaded, &error)) {
		set_error(provider, code_of(error.failure), error.text);
		return -1;
	}
	show(provider, provider_library(loaded));
	return 0;
}

int providerLoad(SDTProvider_t *provider)
{
	int result;

	pthread_mutex_lock(&whole(provider)->lock);
	result = load(provider);
	pthread_mutex_unlock(&whole(provider)->lock);
	return result;
}

static int unload(SDTProvider_t *provider)
{
	int result = provider_unload(whole(provider)->made);

	show(provider, NULL);
	if (result)
		set_error(provider, sharedLibraryCloseError,
			  "cannot unload the provider: the program has closed its _handle");
	return result;
}

int providerUnload(SDTProvider_t *provider)
{
	int result = 0;

	pthread_mutex_lock(&whole(provider)->lock);
	if (whole(provider)->made)
		result = unload(provider);
	pthread_mutex_unlock(&whole(provider)->lock);
	return result;
}

void providerDestroy(SDTProvider_t *provider)
{
	if (!provider)
		return;
	if (whole(provider)->made)
		provider_destroy(whole(provider)->made);
	while (provider->probes) {
		SDTProbeList_t *node = provider->probes;

		provider->probes = node->next;
		free_listed((struct listed_probe *)node);
	}
	pthread_mutex_destroy(&whole(provider)->lock);
	free(provider->_filename);
	free(provider->error);
	free(provider->name);
	free(whole(provider));
}

/* ---- firing ---- */

static uint64_t bits_of_float(float number)
{
	uint32_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

static uint64_t bits_of_double(double number)
{
	uint64_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

/* Reads the words of the arguments. Returns the number of texts at odd addresses. The upper half of
 * an integer is undefined if it was passed as an int; provider_fire narrows it. */
static int read_words(const struct provider_probe *probe, va_list *arguments, uint64_t *words)
{
	int odd = 0;

	for (int i = 0; i < probe->argument_count; i++) {
		switch (probe->types[i]) {
		case ARGUMENT_FLOAT32:
			words[i] = bits_of_float((float)va_arg(*arguments, double));
			break;
		case ARGUMENT_FLOAT64:
			words[i] = bits_of_double(va_arg(*arguments, double));
			break;
		default:
			words[i] = va_arg(*arguments, uint64_t);
			odd += probe->types[i] == ARGUMENT_STRING && words[i] & 1;
		}
	}
	return odd;
}

/* Copies whole characters of a text to an even address, or to an odd one if it is truncated. */
static const char *copy_text(const char *text, char *room)
{
	size_t length = strnlen(text, WORDS_MAX_TEXT + 1);

	if (length > WORDS_MAX_TEXT) {
		length = WORDS_MAX_TEXT;
		while (length > WORDS_MAX_TEXT - 3 && (text[length] & 0xc0) == 0x80)
			length--;
		room++;
	}
	memcpy(room, text, length);
	room[length] = '\0';
	return room;
}

/* Separate because of its stack frame of 12 KiB. */
__attribute__((noinline)) static void fire_copies(struct provider_probe *probe, uint64_t *words)
{
	char room[SDT_MAX_ARGUMENTS][WORDS_MAX_TEXT + 2] __attribute__((aligned(2)));

	for (int i = 0; i < probe->argument_count; i++)
		if (probe->types[i] == ARGUMENT_STRING && words[i] & 1)
			words[i] = (uintptr_t)copy_text((const char *)(uintptr_t)words[i], room[i]);
	provider_fire(probe, words, 0);
}

void probeFire(SDTProbe_t *probe, ...)
{
	uint64_t words[SDT_MAX_ARGUMENTS];
	va_list arguments;
	int odd;

	if (!probeIsEnabled(probe))
		return;
	va_start(arguments, probe);
	odd = read_words(made(probe), &arguments, words);
	va_end(arguments);
	if (odd)
		fire_copies(made(probe), words);
	else
		provider_fire(made(probe), words, 0);
}

int probeIsEnabled(SDTProbe_t *probe)
{
	return probe && provider_probe_is_enabled(made(probe));
}
