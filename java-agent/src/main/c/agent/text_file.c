/* SPDX-License-Identifier: Apache-2.0 */
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int text_file_open(const char *root, const char *path)
{
	char name[2 * PATH_SIZE];
	int length = snprintf(name, sizeof(name), "%s%s", root, path);

	if (length < 0 || (size_t)length >= sizeof(name))
		return -1;
	return open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static ssize_t read_some(int file, void *buffer, size_t size)
{
	ssize_t got;

	do
		got = read(file, buffer, size);
	while (got < 0 && errno == EINTR);
	return got;
}

char *text_file_next_line(struct text_lines *lines)
{
	int is_too_long = 0;

	for (;;) {
		char *line = lines->buffer + lines->begin;
		char *end = memchr(line, '\n', lines->end - lines->begin);
		ssize_t got;

		if (end) {
			*end = '\0';
			lines->begin = (size_t)(end + 1 - lines->buffer);
			if (!is_too_long)
				return line;
			is_too_long = 0;
			continue;
		}
		memmove(lines->buffer, line, lines->end - lines->begin);
		lines->end -= lines->begin;
		lines->begin = 0;
		if (lines->end == sizeof(lines->buffer)) {
			/* No line that matters is that long. */
			is_too_long = 1;
			lines->end = 0;
		}
		got = read_some(lines->file, lines->buffer + lines->end,
				sizeof(lines->buffer) - lines->end);
		if (got <= 0)
			return NULL;
		lines->end += (size_t)got;
	}
}

int text_file_read(const char *root, const char *path, char *text, size_t size)
{
	int file = text_file_open(root, path);
	ssize_t got;

	if (file < 0)
		return -1;
	got = read_some(file, text, size - 1);
	close(file);
	if (got < 0)
		return -1;
	text[got] = '\0';
	return 0;
}
