/* SPDX-License-Identifier: Apache-2.0
 *
 * The notes of section .note.stapsdt, which describe probes to tracers: sys/sdt.h, note type 3.
 */
#ifndef USDT_NOTE_H
#define USDT_NOTE_H

#include "stub_library.h"

#include <stddef.h>
#include <stdint.h>

/* Writes one note unless `at` is NULL. Returns the note's size in bytes in either case.
 *
 * location: link address of the stub
 * base: link address of section .stapsdt.base
 * semaphore: link address of the semaphore */
size_t usdt_note_write(unsigned char *at, const struct stub_probe *probe, uint64_t location,
		       uint64_t base, uint64_t semaphore);

/* Returns the size in bytes of the notes of all these probes. */
size_t usdt_notes_size(const struct stub_probe *probes, size_t count);

#endif
