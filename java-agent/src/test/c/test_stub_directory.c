/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests the ownership of stub directories while other processes create theirs and remove stale
 * ones. The first argument is an empty directory. The second, "namespaces", puts each process
 * into a separate PID namespace, so that each is process 1.
 */
#define _GNU_SOURCE
#include "../../main/c/stub/process.h"
#include "../../main/c/stub/stub_directory.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef WITHOUT_NOREPLACE
#include <errno.h>
#include <stdarg.h>

/* Simulates a file system (NFS) that cannot rename without replacing. The linker redirects all
 * calls of syscall to this function (--wrap). */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	va_list arguments;
	long words[6];

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		words[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_renameat2) {
		errno = EINVAL;
		return -1;
	}
	return __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
#endif

static int failures;

static void check(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		failures++;
	}
}

static struct stub_directory make(const char *parent)
{
	struct stub_directory directory;
	struct stub_error error;

	if (stub_directory_create(parent, &directory, &error)) {
		printf("FAILED: %s\n", error.text);
		exit(1);
	}
	return directory;
}

static const char *inside(const char *directory, const char *name)
{
	static char path[8192];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void make_file(const char *directory, const char *name)
{
	int file = open(inside(directory, name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	check(file >= 0, "a file is made");
	close(file);
}

static int is_there(const char *path)
{
	struct stat status;

	return !lstat(path, &status);
}

/* Waits for a forked child. Returns true if it has found no failure. */
static int has_succeeded(pid_t child)
{
	int status;

	return waitpid(child, &status, 0) == child && status == 0;
}

/* Forks without the C library's knowledge, with CLONE_NEWPID into a new PID namespace. */
static pid_t clone_into(int namespace)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD | namespace, 0, 0, 0, 0);
}

static pid_t make_child(int namespace)
{
	return namespace ? clone_into(namespace) : fork();
}

static void a_child_is_another_process(int namespace)
{
	uint64_t parent = this_process();
	pid_t child = make_child(namespace);

	if (child == 0) {
		uint64_t number = this_process();
		pid_t grandchild;

		if (number == parent || number != this_process())
			_exit(1);
		grandchild = make_child(namespace);
		if (grandchild == 0)
			_exit(this_process() == parent || this_process() == number);
		_exit(!has_succeeded(grandchild));
	}
	check(parent != 0 && has_succeeded(child), "each has its own number");
	check(this_process() == parent, "a number stays");
}

static void a_child_does_not_remove(const char *parent, int namespace)
{
	struct stub_directory directory = make(parent);
	pid_t child;

	make_file(directory.path, "1.so");
	child = make_child(namespace);
	if (child == 0) {
		stub_directory_remove(&directory);
		_exit(namespace && getpid() != 1);
	}
	check(has_succeeded(child), "the child has tried");
	check(is_there(inside(directory.path, "1.so")), "the file is there");
	stub_directory_remove(&directory);
	check(!is_there(directory.path), "the parent removes it");
	stub_directory_remove(&directory);
}

static void descriptors_may_be_closed_and_reused(const char *parent)
{
	struct stub_directory directory = make(parent);
	int other;

	make_file(directory.path, "1.so");
	close(directory.descriptor);
	other = dup2(open("/dev/null", O_RDONLY), directory.descriptor);
	stub_directory_remove(&directory);
	check(!is_there(directory.path), "the directory is removed");
	check(fcntl(other, F_GETFD) >= 0, "a reused descriptor stays open");
	close(other);
}

static void another_directory_of_the_name_stays(const char *parent)
{
	struct stub_directory directory = make(parent);
	char away[4096];

	make_file(directory.path, "1.so");
	snprintf(away, sizeof(away), "%s/away", parent);
	check(!rename(directory.path, away) && !mkdir(directory.path, 0700),
	      "the directories swap names");
	stub_directory_remove(&directory);
	check(is_there(directory.path), "the other directory still exists");
	check(!is_there(inside(away, "1.so")), "the files are removed where they are");
	rmdir(directory.path);
	rmdir(away);
}

static void a_relative_parent_is_found_again(const char *parent)
{
	struct stub_directory directory;
	char here[4096];
	char path[8300];

	check(getcwd(here, sizeof(here)) && !chdir(parent), "into the parent");
	directory = make(".");
	make_file(directory.path, "1.so");
	check(!chdir("/"), "and elsewhere");
	stub_directory_remove(&directory);
	check(!chdir(here), "and back");
	snprintf(path, sizeof(path), "%s/%s", parent, directory.path);
	check(!is_there(path), "the directory is removed");
}

static void set_age(const char *path, int seconds)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - seconds}};

	check(!utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), "an age is set");
}

static void only_stale_directories_are_removed(const char *parent)
{
	static const char *const stays[] = {"jprobe-load-1",
					    "jprobe-demo",
					    "jprobe-",
					    "jprobe-1",
					    "jprobe-1-2",
					    "jprobe-1-0123456789abcde",
					    "jprobe-1-0123456789abcdef0",
					    "jprobe-1-0123456789abcdeg",
					    "jprobe-1-2-0123456789abcdef",
					    ".jprobe-4-0123456789abcdef",
					    "target"};
	static const char *const goes[] = {"jprobe-4-0123456789abcdef", "jprobe-4-0000000000000000",
					   ".jprobe-4-0123456789abcde0"};
	const size_t staying = sizeof(stays) / sizeof(stays[0]);
	const size_t going = sizeof(goes) / sizeof(goes[0]);
	struct stub_directory directory;
	char path[4096];

	for (size_t i = 0; i < staying + going; i++) {
		snprintf(path, sizeof(path), "%s/%s", parent,
			 i < staying ? stays[i] : goes[i - staying]);
		check(!mkdir(path, 0700), "a directory is made");
		if (strstr(path, "/jprobe-4") || strstr(path, "cde0"))
			make_file(path, strstr(path, "/jprobe-4") ? "1.so" : "libjprobe.so");
	}
	set_age(path, 3600);
	snprintf(path, sizeof(path), "%s/target", parent);
	make_file(path, "1.so");
	snprintf(path, sizeof(path), "%s/jprobe-5-0123456789abcdef", parent);
	check(!symlink("target", path), "a link is made");
	directory = make(parent);
	for (size_t i = 0; i < staying; i++)
		check(is_there(inside(parent, stays[i])), stays[i]);
	for (size_t i = 0; i < going; i++)
		check(!is_there(inside(parent, goes[i])), goes[i]);
	check(is_there(path) && is_there(inside(parent, "target/1.so")),
	      "a link is neither removed nor followed");
	stub_directory_remove(&directory);
	unlink(path);
	unlink(inside(parent, "target/1.so"));
	for (size_t i = 0; i < staying; i++)
		check(!rmdir(inside(parent, stays[i])), stays[i]);
}

/* Another user who knows the PID can occupy any predictable name. */
static void occupied_names_are_skipped(const char *parent)
{
	struct stub_directory directory, other;
	char path[4096];
	int length = snprintf(path, sizeof(path), "%s/jprobe-%d", parent, getpid());

	for (int i = 0; i < 20; i++) {
		check(!mkdir(path, 0700), "a name is taken");
		snprintf(path + length, sizeof(path) - (size_t)length, "-%d", i);
	}
	directory = make(parent);
	other = make(parent);
	check(strcmp(directory.path, other.path), "no name is used twice");
	stub_directory_remove(&directory);
	stub_directory_remove(&other);
	for (int i = 18; i >= -1; i--) {
		snprintf(path + length, sizeof(path) - (size_t)length, i < 0 ? "" : "-%d", i);
		check(!rmdir(path), "the files of other users still exist");
	}
}

static void no_umask_changes_the_permissions(const char *parent)
{
	static const mode_t masks[] = {0, 0022, 0777, 0500};

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t before = umask(masks[i]);
		struct stub_directory directory = make(parent);
		struct stat status;

		check(!stat(directory.path, &status) && (status.st_mode & 0777) == 0700,
		      "only its owner can access it");
		make_file(directory.path, "1.so");
		stub_directory_remove(&directory);
		check(!is_there(directory.path), "it is removed");
		umask(before);
	}
}

/* ---- many processes ---- */

#ifdef VALGRIND
#define ROUNDS 10
#else
#define ROUNDS 300
#endif
#define PROCESSES 6

static void make_and_sweep(const char *parent, int is_killed)
{
	char expected[4096];

	snprintf(expected, sizeof(expected), "%s/jprobe-%d-", parent, getpid());
	for (int round = 0; round < ROUNDS; round++) {
		struct stub_directory directory = make(parent);

		check(!strncmp(directory.path, expected, strlen(expected)), "it has its name");
		make_file(directory.path, "1.so");
		sched_yield();
		check(is_there(inside(directory.path, "1.so")), "no other process has removed it");
		if (is_killed && round % 2)
			/* Simulates the kernel, which closes descriptors on exit. */
			close(directory.descriptor);
		else
			stub_directory_remove(&directory);
	}
}

static void live_directories_are_kept(const char *parent, int namespace)
{
	pid_t children[PROCESSES];
	struct stub_directory last;

	for (int i = 0; i < PROCESSES; i++) {
		children[i] = make_child(namespace);
		if (children[i] == 0) {
			make_and_sweep(parent, i % 2);
			exit(failures != 0);
		}
	}
	for (int i = 0; i < PROCESSES; i++)
		check(has_succeeded(children[i]), "a process has made its directories");
	last = make(parent);
	stub_directory_remove(&last);
}

static void children_of_process_1(const char *parent)
{
	pid_t child = clone_into(CLONE_NEWPID);

	if (child == 0) {
		check(getpid() == 1, "it is process 1");
		a_child_is_another_process(CLONE_NEWPID);
		a_child_does_not_remove(parent, CLONE_NEWPID);
		exit(failures != 0);
	}
	check(has_succeeded(child), "process 1 has found no failure");
}

int main(int count, char **arguments)
{
	const char *parent = arguments[1];

	if (count < 2)
		return 2;
	/* Otherwise children would print the parent's buffered output again. */
	setbuf(stdout, NULL);
	if (count == 2) {
		a_child_is_another_process(0);
		a_child_does_not_remove(parent, 0);
		descriptors_may_be_closed_and_reused(parent);
		another_directory_of_the_name_stays(parent);
		a_relative_parent_is_found_again(parent);
		only_stale_directories_are_removed(parent);
		occupied_names_are_skipped(parent);
		no_umask_changes_the_permissions(parent);
		live_directories_are_kept(parent, 0);
	} else {
		children_of_process_1(parent);
		live_directories_are_kept(parent, CLONE_NEWPID);
	}
	return failures != 0;
}
