/* SPDX-License-Identifier: Apache-2.0
 *
 * A program for libstapsdt 0.1, which uses no additions of ours. Executes the commands on stdin
 * and answers each with one line.
 */
#include <libstapsdt.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static SDTProvider_t *provider;
static SDTProbe_t *placed;
static SDTProbe_t *narrow;
static SDTProbe_t *empty;

static void fire(int count)
{
	for (int i = 1; i <= count; i++) {
		char text[32];

		snprintf(text, sizeof(text), "item %d", i % 3);
		probeFire(placed, (uint64_t)i, text, (int64_t)-i);
	}
	/* Each value has more bits than its type. */
	probeFire(narrow, -2, 0x1fe, -3, 0x1fffd, -4, 0xfffffffc);
	probeFire(empty);
}

#define THREADS 4

static pthread_t threads[THREADS];
static int calm;

static void *fire_always(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&calm, __ATOMIC_RELAXED))
		probeFire(placed, (uint64_t)1, "storm", (int64_t)-1);
	return NULL;
}

static void storm(void)
{
	__atomic_store_n(&calm, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fire_always, NULL);
}

static void end_storm(void)
{
	__atomic_store_n(&calm, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void obey(const char *line)
{
	int count;

	if (sscanf(line, "fire %d", &count) == 1)
		fire(count);
	else if (sscanf(line, "memfd %d", &count) == 1)
		printf("%d ", providerUseMemfd(provider, count ? memfd_enabled : memfd_disabled));
	else if (!strcmp(line, "load"))
		printf("%d ", providerLoad(provider));
	else if (!strcmp(line, "unload"))
		printf("%d ", providerUnload(provider));
	else if (!strcmp(line, "enabled"))
		printf("%d%d%d ", probeIsEnabled(placed), probeIsEnabled(narrow),
		       probeIsEnabled(empty));
	else if (!strcmp(line, "storm"))
		storm();
	else if (!strcmp(line, "calm"))
		end_storm();
	else
		return;
	puts("done");
	fflush(stdout);
}

int main(void)
{
	char line[64];

	provider = providerInit("orders");
	placed = providerAddProbe(provider, "placed", 3, uint64, uint64, int64);
	narrow = providerAddProbe(provider, "narrow", 6, int8, uint8, int16, uint16, int32, uint32);
	empty = providerAddProbe(provider, "empty", 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	providerDestroy(provider);
	return 0;
}
