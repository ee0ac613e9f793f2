/* SPDX-License-Identifier: Apache-2.0
 *
 * Uses the additions of our libstapsdt: twelve arguments, floats, texts, and probes that are
 * added to a loaded provider. Executes the commands on stdin and answers each with one line.
 */
#include <libstapsdt.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static SDTProvider_t *provider;
static SDTProbe_t *sent;
static SDTProbe_t *weighed;
static SDTProbe_t *later;

/* A text at an odd address and one at an even address. */
static char texts[2][16] __attribute__((aligned(2)));

static void fire(int count)
{
	for (int i = 1; i <= count; i++)
		probeFire(sent, (uint64_t)1, (uint64_t)2, (uint64_t)3, (uint64_t)4, (uint64_t)5,
			  (uint64_t)6, (uint64_t)7, (int64_t)-8, -9, 10, (uint64_t)11, (uint64_t)i);
	probeFire(weighed, 1.5, texts[0] + 1, -2.25, texts[1]);
	if (later)
		probeFire(later, (uint64_t)count);
}

static void obey(const char *line)
{
	int count;

	if (sscanf(line, "fire %d", &count) == 1)
		fire(count);
	else if (!strcmp(line, "add")) {
		later = providerAddProbe(provider, "later", 1, uint64);
		printf("%d ", providerLoad(provider));
	} else if (!strcmp(line, "enabled"))
		printf("%d%d%d ", probeIsEnabled(sent), probeIsEnabled(weighed),
		       probeIsEnabled(later));
	else
		return;
	puts("done");
	fflush(stdout);
}

int main(void)
{
	char line[64];

	strcpy(texts[0] + 1, "odd");
	strcpy(texts[1], "even");
	provider = providerInit("parcels");
	sent = providerAddProbe(provider, "sent", 12, uint64, uint64, uint64, uint64, uint64,
				uint64, uint64, int64, int32, uint8, uint64, uint64);
	weighed = providerAddProbe(provider, "weighed", 4, sdtFloat64, sdtString, sdtFloat32,
				   sdtString);
	if (!sent || !weighed || providerLoad(provider)) {
		fprintf(stderr, "%s\n", provider->error);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	providerDestroy(provider);
	return 0;
}
