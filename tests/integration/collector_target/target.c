// Simulates a JVM with the agent: maps stub libraries, updates states, fires on command.
//
// usage: target STUB-LIBRARY|- FILE-NAMED-libjvm.so|- PATTERN...
//
// With "-" for the library it starts without one. With "-" for the file it is not a JVM.
// One pattern per slot describes the words of the stub, one letter per word:
//   n number of the call   N its negative   t Java thread ID   d duration   h an identity hash
//   s short string with the number   u the same, not ASCII   l 300..999 bytes   m 1024 bytes
//   c a truncated string, at an odd address   o a string with NULs in the agent's encoding
//   z null   b an invalid pointer   e the class name of an exception   0 zero
//   a absence: of value 0 by a null in every second call, of value 1 by an exception in every third
// A pattern that starts with '!' belongs to a method that cannot be woven, one that starts with '='
// to a user-defined probe, whose state does not change.
//
// Commands on stdin:
//   fire THREADS CALLS                 fires all probes with a nonzero semaphore; prints "fired"
//   semaphores                         prints the sum of the semaphores
//   hold METHOD OFFSET CALLS [LIBRARY] adds to a word of a gate
//   map FILE                           maps a file
//   load FILE PATTERN...               loads one more library
//   retire LIBRARY                     sets the states of the library to retired
//   unload LIBRARY                     replaces the library by memory full of ones
//   memfd keep|close NAME FILE PATTERN...
//                                      loads a library from a memfd, with or without a descriptor
//   fork                               creates a child
//   child COMMAND                      passes a command to the child
//   exec FILE ARGUMENT...              executes a program
//   quit                               exits
// Libraries are counted from 0.
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <jprobe/layout.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

typedef void (*stub)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
		     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

enum { LIBRARIES = 8, SLOTS = 16 };

struct library {
	char *base;
	uint64_t size;
	volatile uint16_t *semaphores;
	volatile uint8_t *states;
	char *gates;
	char *text;
	int slots;
	char **patterns;
	int retired, unloaded;
};

static struct library libraries[LIBRARIES];
static int loaded;
/* Guards the libraries. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

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

static void load(const char *path, int slots, char **patterns)
{
	struct library *library = &libraries[loaded];
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
	char *base = mmap(NULL, end, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		die("mmap");
	library->base = base;
	library->size = end;
	library->slots = slots;
	library->patterns = patterns;
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
		if (!strcmp(name, SECTION_STUBS))
			library->text = at;
		if (!strcmp(name, SECTION_SEMAPHORES))
			library->semaphores = (uint16_t *)at;
		if (!strcmp(name, SECTION_STATES))
			library->states = (uint8_t *)at;
		if (!strcmp(name, SECTION_GATES))
			library->gates = at;
	}
	munmap(file, size);
	close(fd);
	loaded++;
}

static void unload(struct library *library)
{
	library->unloaded = 1;
	if (mmap(library->base, library->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	memset(library->base, 0xff, library->size);
}

static void watch_one(struct library *library)
{
	for (int i = 0; i < library->slots && !library->unloaded; i++) {
		char kind = library->patterns[i][0];
		uint8_t state = library->semaphores[i] == 0 ? PROBE_STATE_DORMANT
				: kind == '!'		    ? PROBE_STATE_FAILED
							    : PROBE_STATE_ARMED;
		if (library->retired)
			state = PROBE_STATE_RETIRED;
		if (library->states[i] != state && (kind != '=' || library->retired))
			library->states[i] = state;
	}
}

static void *watch(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_mutex_lock(&lock);
		for (int i = 0; i < loaded; i++)
			watch_one(&libraries[i]);
		pthread_mutex_unlock(&lock);
		usleep(1000);
	}
	return NULL;
}

struct job {
	pthread_t thread;
	uint64_t index, calls;
};

static void fire_once(struct library *library, struct job *job, uint64_t number)
{
	// An odd address would mark the text as truncated.
	static const char exception[] __attribute__((aligned(2))) =
		"java.lang.IllegalStateException";
	char brief[64] __attribute__((aligned(2))), accented[64] __attribute__((aligned(2)));
	char lengthy[1100] __attribute__((aligned(2))),
		longest[WORDS_MAX_TEXT + 1] __attribute__((aligned(2)));
	char cut[64] __attribute__((aligned(2))), nuls[64] __attribute__((aligned(2)));

	for (int slot = 0; slot < library->slots && !library->unloaded; slot++) {
		const char *pattern = library->patterns[slot];
		const char *letter = pattern + (pattern[0] == '!' || pattern[0] == '=');
		uint64_t word[WORDS_MAX] = {0};
		if (!library->semaphores[slot])
			continue;
		for (int i = 0; i < WORDS_MAX && letter[i]; i++) {
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
				word[i] = (number % 2 == 0) | (number % 3 == 0)
								      << (ABSENCE_THREW_SHIFT + 1);
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
				memset(longest, 'm', WORDS_MAX_TEXT);
				longest[WORDS_MAX_TEXT] = 0;
				word[i] = (uint64_t)longest;
				break;
			}
		}
		((stub)(library->text + SLOT_BYTES * slot))(
			word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
			word[8], word[9], word[10], word[11], word[12]);
	}
}

static void *fire(void *argument)
{
	struct job *job = argument;

	for (uint64_t call = 0; call < job->calls; call++)
		for (int i = 0; i < loaded; i++)
			fire_once(&libraries[i], job, job->index * job->calls + call);
	return NULL;
}

/* Executes "load FILE PATTERN...", given without its first word. */
static void load_line(char *line)
{
	char *path = strtok(strdup(line), " \n");
	char **patterns = calloc(SLOTS, sizeof *patterns);
	int slots = 0;

	while (slots < SLOTS && (patterns[slots] = strtok(NULL, " \n")))
		slots++;
	load(path, slots, patterns);
}

/* Executes "memfd keep|close NAME FILE PATTERN...", given without its first word. */
static void load_memfd(char *line)
{
	char *words = strdup(line), *keep = strtok(words, " \n"), *name = strtok(NULL, " \n");
	char *file = strtok(NULL, " \n"), *patterns = strtok(NULL, "\n"), copied[512];
	int from = open(file, O_RDONLY), memfd = memfd_create(name, 0);
	struct stat st;

	if (from < 0 || memfd < 0 || fstat(from, &st) ||
	    sendfile(memfd, from, NULL, st.st_size) != st.st_size)
		die("memfd");
	close(from);
	snprintf(copied, sizeof copied, "/proc/self/fd/%d %s", memfd, patterns ? patterns : "");
	load_line(copied);
	if (!strcmp(keep, "close"))
		close(memfd);
}

static void start_watching(void)
{
	pthread_t watcher;

	if (pthread_create(&watcher, NULL, watch, NULL))
		die("pthread_create");
}

static FILE *to_child, *from_child;

/* Forks a child that executes the commands passed to it. Returns its PID, or 0 in the child. */
static int make_child(void)
{
	int commands[2], answers[2], pid;

	if (pipe(commands) || pipe(answers))
		die("pipe");
	pthread_mutex_lock(&lock);
	pid = fork();
	pthread_mutex_unlock(&lock);
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(commands[0], 0);
		dup2(answers[1], 1);
		start_watching();
	} else {
		to_child = fdopen(commands[1], "w");
		from_child = fdopen(answers[0], "r");
	}
	close(commands[0]);
	close(answers[1]);
	if (pid == 0) {
		close(commands[1]);
		close(answers[0]);
	}
	return pid;
}

/* Executes "exec FILE ARGUMENT...", given without its first word. */
static void execute(char *line)
{
	char *words[16] = {strtok(line, " \n")};

	for (int i = 1; i < 15 && words[i - 1]; i++)
		words[i] = strtok(NULL, " \n");
	execv(words[0], words);
	die("exec");
}

int main(int count, char **arguments)
{
	char line[512];
	size_t size;

	if (count < 3)
		return 2;
	char **patterns = arguments + 3;
	int slots = count - 3;
	if (slots == 1 && strncmp(patterns[0], "*", 1) == 0) {
		/* "*6000:nt" stands for 6000 slots with the same pattern. */
		char *pattern = strchr(patterns[0], ':') + 1;
		slots = atoi(patterns[0] + 1);
		patterns = malloc(slots * sizeof *patterns);
		for (int i = 0; i < slots; i++)
			patterns[i] = pattern;
	}
	if (strcmp(arguments[1], "-"))
		load(arguments[1], slots, patterns);
	if (strcmp(arguments[2], "-"))
		map_file(arguments[2], &size);
	start_watching();
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		int threads, method, offset, number = 0;
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
		} else if (sscanf(line, "hold %d %d %lu %d", &method, &offset, &calls, &number) >=
			   3) {
			*(volatile uint64_t *)(libraries[number].gates +
					       sizeof(struct gate) * method + offset) += calls;
			printf("held\n");
		} else if (!strncmp(line, "map ", 4)) {
			line[strcspn(line, "\n")] = 0;
			map_file(line + 4, &size);
			printf("mapped\n");
		} else if (!strcmp(line, "semaphores\n")) {
			int sum = 0;
			for (int i = 0; i < loaded; i++)
				for (int j = 0; j < libraries[i].slots && !libraries[i].unloaded;
				     j++)
					sum += libraries[i].semaphores[j];
			printf("%d\n", sum);
		} else if (!strncmp(line, "load ", 5)) {
			pthread_mutex_lock(&lock);
			load_line(line + 5);
			pthread_mutex_unlock(&lock);
			printf("loaded\n");
		} else if (!strncmp(line, "memfd ", 6)) {
			pthread_mutex_lock(&lock);
			load_memfd(line + 6);
			pthread_mutex_unlock(&lock);
			printf("loaded\n");
		} else if (!strcmp(line, "fork\n")) {
			int pid = make_child();
			if (pid)
				printf("%d\n", pid);
			else
				continue;
		} else if (!strncmp(line, "child ", 6)) {
			fputs(line + 6, to_child);
			fflush(to_child);
			fputs(fgets(line, sizeof line, from_child) ? line : "gone\n", stdout);
		} else if (!strncmp(line, "exec ", 5)) {
			execute(line + 5);
		} else if (sscanf(line, "retire %d", &number) == 1) {
			libraries[number].retired = 1;
			printf("retired\n");
		} else if (sscanf(line, "revive %d", &number) == 1) {
			libraries[number].retired = 0;
			printf("revived\n");
		} else if (sscanf(line, "unload %d", &number) == 1) {
			pthread_mutex_lock(&lock);
			unload(&libraries[number]);
			pthread_mutex_unlock(&lock);
			printf("unloaded\n");
		} else {
			break;
		}
		fflush(stdout);
	}
	return 0;
}
