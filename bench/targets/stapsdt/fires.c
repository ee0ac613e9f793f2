// SPDX-License-Identifier: Apache-2.0
/*
 * Fires in one thread for the number of seconds given on stdin, then prints the number of
 * firings. Argument: "numbers" (three longs), "texts" (a long and a text of 24 bytes) or "mixed"
 * (both alternately). Exits at the end of stdin.
 */
#include <libstapsdt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BATCH = 4096 };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + 1e-9 * time.tv_nsec;
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "numbers";
	int with_numbers = strcmp(what, "texts"), with_texts = strcmp(what, "numbers");
	static const char text[] __attribute__((aligned(2))) = "select total from orders";
	SDTProvider_t *provider = providerInit("bench");
	SDTProbe_t *numbers = providerAddProbe(provider, "numbers", 3, int64, int64, int64);
	SDTProbe_t *texts = providerAddProbe(provider, "texts", 2, int64, sdtString);
	double seconds;

	if (providerLoad(provider)) {
		fprintf(stderr, "%s\n", provider->error);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (scanf("%lf", &seconds) == 1) {
		double begun = now(), end = begun + seconds, last;
		uint64_t fired = 0;
		do {
			for (uint64_t i = 0; i < BATCH; i++) {
				if (with_numbers)
					probeFire(numbers, (int64_t)fired, (int64_t)i, (int64_t)-1);
				if (with_texts)
					probeFire(texts, (int64_t)fired, text);
				fired += with_numbers && with_texts ? 2 : 1;
			}
			last = now();
		} while (last < end);
		printf("%llu %.6f\n", (unsigned long long)fired, last - begun);
		fflush(stdout);
	}
	return 0;
}
