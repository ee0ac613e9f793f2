/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "histograms.h"

#include "histogram.h"
#include "shared_file.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space for so many histograms is 1 GiB a stripe. Only pages with values use memory. */
#define MOST_HISTOGRAMS (1U << 17)
/* Without so much address space (ulimit -v), a quarter of it is tried, down to this. */
#define FEWEST_HISTOGRAMS (1U << 11)
/* More stripes than CPUs do not help. */
#define MOST_STRIPES 8
#define DATA 4096

struct histograms {
	struct histogram_file *file;
	unsigned char *data;
	size_t bytes;
	uint32_t capacity;
	uint32_t stripes; /* a power of two */
	int memfd;
	uint64_t epoch; /* once closed: the last in which a thread could begin to use it */
	struct histograms *next;
};

static struct histograms *current;
static struct histograms *closed; /* for the agent's thread only */

static uint32_t count_stripes(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t stripes = 1;

	while (stripes < cpus && stripes < MOST_STRIPES)
		stripes *= 2;
	return stripes;
}

int histograms_open(void)
{
	struct histograms *histograms = current;

	if (histograms)
		return histograms->memfd;
	histograms = calloc(1, sizeof(*histograms));
	if (!histograms)
		return -1;
	histograms->stripes = count_stripes();
	for (uint32_t capacity = MOST_HISTOGRAMS;
	     capacity >= FEWEST_HISTOGRAMS && !histograms->file; capacity /= 4) {
		histograms->capacity = capacity;
		histograms->bytes = DATA + (size_t)HISTOGRAM_SIZE * capacity * histograms->stripes;
		histograms->file =
			shared_file_map("jprobe-histograms", histograms->bytes, &histograms->memfd);
	}
	if (!histograms->file) {
		free(histograms);
		return -1;
	}
	histograms->data = (unsigned char *)histograms->file + DATA;
	histograms->file->version = DIRECT_VERSION;
	histograms->file->capacity = histograms->capacity;
	histograms->file->stripes = histograms->stripes;
	histograms->file->data = DATA;
	histograms->file->began = direct_clock_kernel();
	__atomic_store_n(&current, histograms, __ATOMIC_RELEASE);
	return histograms->memfd;
}

uint32_t histograms_capacity(void)
{
	return current ? current->capacity : 0;
}

void histograms_close(void)
{
	struct histograms *histograms = __atomic_exchange_n(&current, NULL, __ATOMIC_SEQ_CST);

	if (!histograms)
		return;
	close(histograms->memfd);
	histograms->epoch = direct_end_epoch();
	histograms->next = closed;
	closed = histograms;
}

int histograms_release(void)
{
	struct histograms **link = &closed;

	while (*link) {
		struct histograms *histograms = *link;

		if (!direct_is_over(histograms->epoch)) {
			link = &histograms->next;
			continue;
		}
		*link = histograms->next;
		munmap(histograms->file, histograms->bytes);
		free(histograms);
	}
	return !closed;
}

void histograms_count(struct direct_thread *thread, const struct gate_probe *probe, uint64_t ns)
{
	const struct histograms *histograms = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
	uint32_t number = __atomic_load_n(&probe->histogram, __ATOMIC_RELAXED) - 1;
	struct histogram *histogram;
	size_t stripe;

	if (!histograms || number >= histograms->capacity)
		return;
	stripe = thread->number & (histograms->stripes - 1);
	histogram = (struct histogram *)(void *)(histograms->data +
						 HISTOGRAM_SIZE *
							 (stripe * histograms->capacity + number));
	/* Not negative: longer than 292 years. */
	if (ns >> 63)
		ns = INT64_MAX;
	__atomic_fetch_add(&histogram->sum, ns, __ATOMIC_RELAXED);
	__atomic_fetch_add(ns ? &histogram->buckets[histogram_index(ns)] : &histogram->zero, 1,
			   __ATOMIC_RELAXED);
}
