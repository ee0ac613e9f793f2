/* SPDX-License-Identifier: Apache-2.0
 *
 * A program with children, each of which loads a separate provider and exits in a given way:
 * "load", "fork HOW" and "nested HOW", which puts the child into a separate PID namespace.
 */
#define _GNU_SOURCE
#include <libstapsdt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static SDTProvider_t *new_provider(const char *name)
{
	SDTProvider_t *provider = providerInit(name);

	providerAddProbe(provider, "p", 1, uint64);
	return provider;
}

static void leave(SDTProvider_t *inherited, const char *how)
{
	if (providerLoad(new_provider("own")))
		_exit(1);
	if (!strcmp(how, "unload"))
		providerUnload(inherited);
	else if (!strcmp(how, "destroy"))
		providerDestroy(inherited);
	exit(0);
}

int main(void)
{
	SDTProvider_t *provider = new_provider("parent");
	char line[64];
	int status;

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "load"))
			printf("%d", providerLoad(provider));
		else {
			int nested = line[0] == 'n';
			pid_t child = nested ? (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, 0,
							      0, 0, 0)
					     : fork();

			if (child == 0)
				leave(provider, strchr(line, ' ') + 1);
			waitpid(child, &status, 0);
			printf("%d", status);
		}
		printf(" done\n");
		fflush(stdout);
	}
	return 0;
}
