// Stands in for a JVM with the agent: maps stub libraries, answers semaphores, fires on command.
//
// usage: target STUB-LIBRARY FILE-NAMED-libjvm.so PATTERN...
// One pattern for each slot says what the stub is passed, a letter a word:
//   n number of the call   N its negative   t Java thread id   d duration   h an identity hash
//   s short string with the number   u the same, not ASCII   l 300..999 bytes   m 1024 bytes
//   c a string that was cut, at an odd address   o one with NULs in the agent's form
//   z null   b a bad pointer   e an exception's class name   0 zero
//   a absence: of value 0 by a null in every second call, of value 1 by an exception in every third
// A pattern that starts with '!' belongs to a method that cannot be woven.
// Commands on stdin: "fire THREADS CALLS", answered by "fired"; "semaphores", by their sum;
// "retire", which makes the states retired; "hold METHOD WORD CALLS", which adds to a word of a
// gate; "map FILE"; "quit".
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 13 };
enum { DORMANT = 1, ARMED = 3, FAILED = 4, RETIRED = 5 };

typedef void (*stub)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static char *base;
static volatile uint16_t *semaphores;
static volatile uint8_t *states;
static volatile uint64_t *gates;
static char *text;
static int slots;
static char **patterns;
static volatile int retired;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		die(path);
	char *file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		die("mmap");
	*size = st.st_size;
	close(fd);
	return file;
}

static void load(const char *path)
{
	size_t size;
	char *file = map_file(path, &size);
	Elf64_Ehdr *header = (Elf64_Ehdr *)file;
	Elf64_Phdr *segments = (Elf64_Phdr *)(file + header->e_phoff);
	Elf64_Shdr *sections = (Elf64_Shdr *)(file + header->e_shoff);
	const char *names = file + sections[header->e_shstrndx].sh_offset;
	int fd = open(path, O_RDONLY);
	uint64_t end = 0;

	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			end = segments[i].p_vaddr + segments[i].p_memsz;
	base = mmap(NULL, end, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr *s = &segments[i];
		int protection = s->p_flags & PF_X ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE;
		uint64_t start = s->p_offset & ~4095ull;
		if (s->p_type == PT_LOAD &&
		    mmap(base + start, s->p_filesz + s->p_offset - start, protection,
			 MAP_PRIVATE | MAP_FIXED, fd, start) == MAP_FAILED)
			die("mmap segment");
	}
	for (int i = 0; i < header->e_shnum; i++) {
		const char *name = names + sections[i].sh_name;
		char *at = base + sections[i].sh_offset;
		if (!strcmp(name, ".text"))
			text = at;
		if (!strcmp(name, ".probes"))
			semaphores = (uint16_t *)at;
		if (!strcmp(name, ".jprobe.state"))
			states = (uint8_t *)at;
		if (!strcmp(name, ".jprobe.gates"))
			gates = (uint64_t *)at;
	}
	munmap(file, size);
	close(fd);
}

static void *watch(void *unused)
{
	(void)unused;
	for (;;) {
		for (int i = 0; i < slots; i++) {
			uint8_t state = semaphores[i] == 0	? DORMANT
					: patterns[i][0] == '!' ? FAILED
								: ARMED;
			if (retired)
				state = RETIRED;
			if (states[i] != state)
				states[i] = state;
		}
		usleep(1000);
	}
	return NULL;
}

struct job {
	pthread_t thread;
	uint64_t index, calls;
};

static void *fire(void *argument)
{
	struct job *job = argument;
	// An odd address would mean that the text was cut.
	static const char exception[] __attribute__((aligned(2))) =
		"java.lang.IllegalStateException";
	char brief[64] __attribute__((aligned(2))), accented[64] __attribute__((aligned(2)));
	char lengthy[1100] __attribute__((aligned(2))), longest[1025] __attribute__((aligned(2)));
	char cut[64] __attribute__((aligned(2))), nuls[64] __attribute__((aligned(2)));

	for (uint64_t call = 0; call < job->calls; call++) {
		uint64_t number = job->index * job->calls + call;
		for (int slot = 0; slot < slots; slot++) {
			const char *letter = patterns[slot] + (patterns[slot][0] == '!');
			uint64_t word[WORDS] = {0};
			if (!semaphores[slot])
				continue;
			for (int i = 0; i < WORDS && letter[i]; i++) {
				switch (letter[i]) {
				case 'n':
					word[i] = number;
					break;
				case 'N':
					word[i] = -number;
					break;
				case 't':
					word[i] = 100 + job->index;
					break;
				case 'd':
					word[i] = 1000 + number % 1000;
					break;
				case 'h':
					word[i] = 0x1b2c3d4e;
					break;
				case 'b':
					word[i] = 16;
					break;
				case 'e':
					word[i] = (uint64_t)exception;
					break;
				case 'a':
					word[i] = (number % 2 == 0) | (number % 3 == 0) << 17;
					break;
				case 'c':
					sprintf(cut + 1, "call %lu", number);
					word[i] = (uint64_t)(cut + 1);
					break;
				case 'o':
					sprintf(nuls, "\xc0\x80%lu\xc0\x80\xc0\x80", number);
					word[i] = (uint64_t)nuls;
					break;
				case 's':
					sprintf(brief, "call %lu", number);
					word[i] = (uint64_t)brief;
					break;
				case 'u':
					sprintf(accented,
						"\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 \xf0\x9f\xa6\x86 "
						"%lu",
						number);
					word[i] = (uint64_t)accented;
					break;
				case 'l': {
					int head = sprintf(lengthy, "%lu ", number);
					size_t length = 300 + number % 700;
					memset(lengthy + head, 'x', length - head);
					lengthy[length] = 0;
					word[i] = (uint64_t)lengthy;
					break;
				}
				case 'm':
					memset(longest, 'm', 1024);
					longest[1024] = 0;
					word[i] = (uint64_t)longest;
					break;
				}
			}
			((stub)(text + 32 * slot))(word[0], word[1], word[2], word[3], word[4],
						   word[5], word[6], word[7], word[8], word[9],
						   word[10], word[11], word[12]);
		}
	}
	return NULL;
}

int main(int count, char **arguments)
{
	char line[512];
	pthread_t watcher;
	size_t size;

	if (count < 3)
		return 2;
	load(arguments[1]);
	map_file(arguments[2], &size);
	patterns = arguments + 3;
	slots = count - 3;
	if (slots == 1 && strncmp(patterns[0], "*", 1) == 0) {
		/* "*6000:nt": the same pattern for so many slots. */
		char *pattern = strchr(patterns[0], ':') + 1;
		slots = atoi(patterns[0] + 1);
		patterns = malloc(slots * sizeof *patterns);
		for (int i = 0; i < slots; i++)
			patterns[i] = pattern;
	}
	if (pthread_create(&watcher, NULL, watch, NULL))
		die("pthread_create");
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		int threads, method, word;
		uint64_t calls;
		if (sscanf(line, "fire %d %lu", &threads, &calls) == 2) {
			struct job *jobs = calloc(threads, sizeof *jobs);
			for (int i = 0; i < threads; i++) {
				jobs[i].index = i;
				jobs[i].calls = calls;
				if (pthread_create(&jobs[i].thread, NULL, fire, &jobs[i]))
					die("pthread_create");
			}
			for (int i = 0; i < threads; i++)
				pthread_join(jobs[i].thread, NULL);
			free(jobs);
			printf("fired\n");
		} else if (sscanf(line, "hold %d %d %lu", &method, &word, &calls) == 3) {
			gates[8 * method + word] += calls;
			printf("held\n");
		} else if (!strncmp(line, "map ", 4)) {
			line[strcspn(line, "\n")] = 0;
			map_file(line + 4, &size);
			printf("mapped\n");
		} else if (!strcmp(line, "semaphores\n")) {
			int sum = 0;
			for (int i = 0; i < slots; i++)
				sum += semaphores[i];
			printf("%d\n", sum);
		} else if (!strcmp(line, "retire\n")) {
			retired = 1;
			printf("retired\n");
		} else {
			break;
		}
		fflush(stdout);
	}
	return 0;
}
