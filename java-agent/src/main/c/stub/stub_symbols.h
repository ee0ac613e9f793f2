/* SPDX-License-Identifier: Apache-2.0
 *
 * The symbols of a stub library and its dynamic section, by which dlopen and dlsym find them.
 */
#ifndef STUB_SYMBOLS_H
#define STUB_SYMBOLS_H

#include "stub_image.h"

#include <elf.h>
#include <stddef.h>

/* Size of section .dynamic in bytes. */
#define STUB_DYNAMIC_SIZE (6 * sizeof(Elf64_Dyn))

size_t stub_symbol_count(const struct stub_contents *contents);

/* Returns the size of section .dynstr in bytes. */
size_t stub_dynamic_strings_size(const struct stub_contents *contents);

/* Fills sections .dynsym, .dynstr and .hash. All sections must have their addresses. */
void stub_symbols_write(struct stub_image *image, const struct stub_contents *contents);

/* Fills section .dynamic. */
void stub_dynamic_write(struct stub_image *image);

#endif
