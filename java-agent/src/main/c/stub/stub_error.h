/* SPDX-License-Identifier: Apache-2.0
 *
 * The reason why a stub library, its directory or a provider could not be created.
 */
#ifndef STUB_ERROR_H
#define STUB_ERROR_H

/* The step at which the creation of a stub library failed. */
enum stub_failure {
	STUB_NOT_WRITTEN, /* also: invalid contents, or out of memory */
	STUB_NO_FILE,	  /* neither a file nor a memfd could be created */
	STUB_NOT_MAPPED,  /* dlopen failed */
};

struct stub_error {
	char text[512];
	enum stub_failure failure;
};

/* Formats the text, truncated to its size, and sets the failure to STUB_NOT_WRITTEN. */
void stub_fail(struct stub_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
