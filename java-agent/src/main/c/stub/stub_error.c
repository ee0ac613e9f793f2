/* SPDX-License-Identifier: Apache-2.0 */
#include "stub_error.h"

#include <stdarg.h>
#include <stdio.h>

void stub_fail(struct stub_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	error->failure = STUB_NOT_WRITTEN;
}
