/*
 * Ends a process that hangs or aborts in the native code of a library, with a message and an exit
 * code.
 *
 * A timer's signal needs no thread, no memory and not Python's lock, all of which may be missing.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Number of signals that make up the time. A pending signal is not counted twice, so a process that
 * was stopped and resumes has lost only one tick. */
#define TICKS 10

struct end {
	const char *text;
	size_t bytes;
	int code;
};

static struct end late;
static struct end aborted;
static volatile sig_atomic_t ticks;

static _Noreturn void finish(const struct end *end)
{
	struct pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT};

	/* Do not wait for a terminal or a pipe that is not read. */
	if (poll(&error, 1, 0) == 1 && write(STDERR_FILENO, end->text, end->bytes) < 0)
		_exit(end->code);
	_exit(end->code);
}

static void tick(int number)
{
	(void)number;
	ticks = ticks + 1;
	if (ticks >= TICKS)
		finish(&late);
}

static void abort_with_message(int number)
{
	(void)number;
	finish(&aborted);
}

static int handle(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	return sigaction(number, &action, NULL);
}

/* Makes the process write the text to stderr and exit with the code after that many ms; 0 cancels
 * this. The caller must keep the text. Returns 0, or -1 with errno. */
EXPORT int jprobe_end_after(long ms, const char *text, size_t bytes, int code)
{
	struct timeval each = {.tv_sec = ms / TICKS / 1000, .tv_usec = ms / TICKS % 1000 * 1000};
	struct itimerval timer = {.it_interval = each, .it_value = each};
	struct itimerval none = {.it_value = {0}};

	if (setitimer(ITIMER_REAL, &none, NULL) != 0)
		return -1;
	if (ms == 0)
		return 0;
	late = (struct end){.text = text, .bytes = bytes, .code = code};
	ticks = 0;
	return handle(SIGALRM, tick) != 0 ? -1 : setitimer(ITIMER_REAL, &timer, NULL);
}

static void (*original_handler)(int);

static void unless_from_terminal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0)
		original_handler(number);
}

/* From now on the signal's handler is called only for signals that processes send, and not for
 * those that the kernel sends when a key is pressed. Returns 0, or -1. */
EXPORT int jprobe_ignore_terminal(int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action) != 0 || action.sa_flags & SA_SIGINFO)
		return -1;
	original_handler = action.sa_handler;
	action.sa_sigaction = unless_from_terminal;
	action.sa_flags |= SA_SIGINFO;
	return sigaction(number, &action, NULL);
}

/* Sets the message and the exit code for a library that calls abort(3). */
EXPORT int jprobe_when_aborted(const char *text, size_t bytes, int code)
{
	aborted = (struct end){.text = text, .bytes = bytes, .code = code};
	return handle(SIGABRT, abort_with_message);
}
