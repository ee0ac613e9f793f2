/* Writes lines with standard_error.c (java-agent/src/main/c/agent) and changes descriptor 2 as a
 * program may. Executes commands on stdin and answers each on stdout.
 *
 *     write TEXT [TIMES]  writes lines and prints the time for all of them, in ms
 *     report              reports lost lines, if possible
 *     reuse FILE          closes descriptor 2 and opens this file as 2
 *     close               closes descriptor 2
 *     user ID             changes the user of the process
 *     files COUNT         and threads COUNT: limit the process
 *     threads             prints the number of threads
 */
#define _GNU_SOURCE
#include "standard_error.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void write_lines(const char *text, int times)
{
	double begun = now_ms();
	char line[STANDARD_ERROR_MAX_LINE];

	for (int number = 1; number <= times; number++) {
		int length = times > 1 ? snprintf(line, sizeof(line), "%s %d\n", text, number)
				       : snprintf(line, sizeof(line), "%s\n", text);

		standard_error_write(line, (size_t)length);
	}
	printf("%.3f\n", now_ms() - begun);
}

static void reuse(const char *file)
{
	int descriptor;

	close(STDERR_FILENO);
	descriptor = open(file, O_WRONLY | O_CREAT, 0600);
	printf("%d\n", descriptor);
}

static void limit(int resource, const char *count)
{
	struct rlimit both = {strtoul(count, NULL, 10), strtoul(count, NULL, 10)};

	printf("%d\n", setrlimit((__rlimit_resource_t)resource, &both));
}

static void count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int count = 0;

	while (readdir(tasks))
		count++;
	closedir(tasks);
	printf("%d\n", count - 2);
}

int main(void)
{
	char line[STANDARD_ERROR_MAX_LINE];

	/* A traced JVM may do this too. The signal is the program's. */
	signal(SIGPIPE, SIG_DFL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	standard_error_open();
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		char *command = strtok(line, " \n");
		char *word = strtok(NULL, " \n");
		char *number = strtok(NULL, " \n");

		if (strcmp(command, "write") == 0)
			write_lines(word, number ? atoi(number) : 1);
		else if (strcmp(command, "report") == 0)
			standard_error_report(), printf("done\n");
		else if (strcmp(command, "lose") == 0)
			standard_error_lose(), printf("done\n");
		else if (strcmp(command, "reuse") == 0)
			reuse(word);
		else if (strcmp(command, "close") == 0)
			printf("%d\n", close(STDERR_FILENO));
		else if (strcmp(command, "user") == 0)
			printf("%d\n",
			       setresuid((uid_t)atoi(word), (uid_t)atoi(word), (uid_t)atoi(word)));
		else if (strcmp(command, "files") == 0)
			limit(RLIMIT_NOFILE, word);
		else if (strcmp(command, "room") == 0)
			limit(RLIMIT_FSIZE, word);
		else
			count_threads();
	}
	return 0;
}
