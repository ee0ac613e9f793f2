/* SPDX-License-Identifier: Apache-2.0
 *
 * Does what the programs of bpf/threads.c are attached to, again and again: "switch", "syscall" or
 * "fault" on each line of stdin, with a number. Prints the CPU time of one of them, ns: other work
 * on the machine counts less. Pinned to one CPU.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGES 4096
#define PAGE 4096

static int ping[2], pong[2];

static long long cpu_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void *answer(void *unused)
{
	char byte;

	while (read(ping[0], &byte, 1) == 1 && write(pong[1], &byte, 1) == 1)
		;
	return unused;
}

static void switches(long count)
{
	char byte = 0;

	/* Two switches a round. */
	for (long i = 0; i < count / 2; i++)
		if (write(ping[1], &byte, 1) != 1 || read(pong[0], &byte, 1) != 1)
			return;
}

static void calls(long count)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
}

static void faults(long count, char *memory)
{
	for (long i = 0; i < count; i++) {
		if (i % PAGES == 0)
			madvise(memory, (size_t)PAGES * PAGE, MADV_DONTNEED);
		memory[i % PAGES * PAGE] = 1;
	}
}

int main(void)
{
	char *memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char kind[16];
	pthread_t thread;
	cpu_set_t one;
	long count;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (memory == MAP_FAILED || madvise(memory, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE) ||
	    sched_setaffinity(0, sizeof(one), &one) || pipe(ping) || pipe(pong) ||
	    pthread_create(&thread, NULL, answer, NULL))
		return 1;
	puts("ready");
	fflush(stdout);
	while (scanf("%15s %ld", kind, &count) == 2) {
		long long begun = cpu_time();

		if (!strcmp(kind, "switch"))
			switches(count);
		else if (!strcmp(kind, "syscall"))
			calls(count);
		else
			faults(count, memory);
		printf("%.1f\n", (double)(cpu_time() - begun) / (double)count);
		fflush(stdout);
	}
	return 0;
}
