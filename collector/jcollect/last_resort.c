/*
 * The end of a process that hangs or aborts in somebody else's native code, with a sentence and an
 * exit code.
 *
 * A timer's signal needs neither a thread nor memory nor Python's lock, all of which may be what is
 * missing.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Of the time, so that a process that was stopped meanwhile does not find all of it gone: a signal
 * that is pending is not counted twice. */
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

	/* A terminal or a pipe that nobody reads is no reason to stay. */
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

static void abort_with_a_word(int number)
{
	(void)number;
	finish(&aborted);
}

static int handle(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	return sigaction(number, &action, NULL);
}

/* After so many ms the process writes the text to stderr and exits with the code; of 0 ms, no
 * longer. The text stays the caller's and has to stay. */
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

static void (*meant_handler)(int);

static void unless_from_a_terminal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0)
		meant_handler(number);
}

/* From now on the signal's handler is called for what other processes send, and not for what the
 * kernel does because a key was pressed. */
EXPORT int jprobe_ignore_terminal(int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action) != 0 || action.sa_flags & SA_SIGINFO)
		return -1;
	meant_handler = action.sa_handler;
	action.sa_sigaction = unless_from_a_terminal;
	action.sa_flags |= SA_SIGINFO;
	return sigaction(number, &action, NULL);
}

/* What is said, and the exit code, where a library calls abort(3). */
EXPORT int jprobe_when_aborted(const char *text, size_t bytes, int code)
{
	aborted = (struct end){.text = text, .bytes = bytes, .code = code};
	return handle(SIGABRT, abort_with_a_word);
}
