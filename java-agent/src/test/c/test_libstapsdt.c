/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests how libstapsdt.c converts its arguments. Includes its source, because this test has no
 * tracer that could read them. tests/integration/test_libstapsdt.py tests the rest.
 */
#include "../../main/c/libstapsdt/libstapsdt.c"

static int failures;

static void check(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		failures++;
	}
}

static void a_copied_text_is_whole_or_marked(void)
{
	char text[WORDS_MAX_TEXT + 8] __attribute__((aligned(2)));
	char room[WORDS_MAX_TEXT + 2] __attribute__((aligned(2)));
	const char *copy;

	for (size_t length = 0; length < WORDS_MAX_TEXT + 4; length++) {
		memset(text, 'x', length);
		text[length] = '\0';
		copy = copy_text(text, room);
		check(strlen(copy) == (length < WORDS_MAX_TEXT ? length : WORDS_MAX_TEXT),
		      "a copy has the maximum length");
		check(((uintptr_t)copy & 1) == (length > WORDS_MAX_TEXT),
		      "a truncated text is at an odd address");
	}
	/* The euro sign's three bytes begin one, two and three bytes before the limit. */
	for (size_t at = WORDS_MAX_TEXT - 3; at < WORDS_MAX_TEXT; at++) {
		memset(text, 'x', WORDS_MAX_TEXT + 4);
		memcpy(text + at, "\xe2\x82\xac", 3);
		text[WORDS_MAX_TEXT + 4] = '\0';
		copy = copy_text(text, room);
		check(strlen(copy) == (at == WORDS_MAX_TEXT - 3 ? WORDS_MAX_TEXT : at),
		      "a text is truncated between characters");
	}
	memset(text, '\x80', WORDS_MAX_TEXT + 4);
	check(strlen(copy_text(text, room)) >= WORDS_MAX_TEXT - 3,
	      "text that is not UTF-8 is truncated as well");
}

static int read_all(const struct provider_probe *probe, uint64_t *words, ...)
{
	va_list arguments;
	int odd;

	va_start(arguments, words);
	odd = read_words(probe, &arguments, words);
	va_end(arguments);
	return odd;
}

static void arguments_are_read_by_their_types(void)
{
	static const char text[4] __attribute__((aligned(2))) = "abc";
	struct provider_probe probe = {
		.argument_count = 6,
		.types = {ARGUMENT_INT32, ARGUMENT_FLOAT64, ARGUMENT_STRING, ARGUMENT_FLOAT32,
			  ARGUMENT_STRING, ARGUMENT_UINT64},
	};
	uint64_t words[SDT_MAX_ARGUMENTS];

	check(read_all(&probe, words, -5, 1.5, text, -2.25, text + 1, ~(uint64_t)0) == 1,
	      "one text is at an odd address");
	check((int32_t)words[0] == -5, "an int arrives");
	check(words[1] == 0x3ff8000000000000, "a double arrives as its bits");
	check(words[2] == (uintptr_t)text && words[4] == (uintptr_t)(text + 1), "texts arrive");
	check(words[3] == 0xc0100000, "a float arrives as its bits");
	check(words[5] == ~(uint64_t)0, "an unsigned long arrives");
}

#define THREADS 4
#define ROUNDS 100

static SDTProvider_t *busy;
static SDTProbe_t *first;
static int stopped;

static void *use(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&stopped, __ATOMIC_RELAXED)) {
		if (probeIsEnabled(first))
			probeFire(first, 1, "text" + 1);
		providerLoad(busy);
	}
	return NULL;
}

static void threads_may_share_a_provider(void)
{
	pthread_t threads[THREADS];
	char name[32];

	busy = providerInit("busy");
	first = providerAddProbe(busy, "first", 2, uint64, sdtString);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, use, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		check(providerAddProbe(busy, name, 0) != NULL, "a probe is added");
		check(providerLoad(busy) == 0, "a provider is loaded");
		providerUseMemfd(busy, i % 2 ? memfd_enabled : memfd_disabled);
		if (i % 5 == 0)
			check(providerUnload(busy) == 0, "a provider is unloaded");
	}
	__atomic_store_n(&stopped, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check(providerUnload(busy) == 0 && !busy->_handle && !first->_fire,
	      "everything is unloaded");
	providerDestroy(busy);
}

int main(int count, char **arguments)
{
	if (count != 2)
		return 2;
	provider_place_in(arguments[1]);
	a_copied_text_is_whole_or_marked();
	arguments_are_read_by_their_types();
	threads_may_share_a_provider();
	return failures != 0;
}
