/* SPDX-License-Identifier: Apache-2.0
 *
 * Machine-dependent parts of a stub library: the code of a stub, and the registers and stack slots
 * that hold its arguments.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "stub_library.h"

#include <elf.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define PAGE 0x1000
static const unsigned char STUB_CODE[SLOT_BYTES] = {STUB_X86_64_CODE};
static const char *const REGISTERS[] = {"%rdi", "%rsi", "%rdx", "%rcx", "%r8", "%r9"};
/* At the stub's first instruction, the stack pointer points to the return address. */
#define STACK_FORMAT "%d@%d(%%rsp)"
#define STACK_OFFSET 8
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define PAGE 0x10000
static const unsigned char STUB_CODE[SLOT_BYTES] = {STUB_AARCH64_CODE};
static const char *const REGISTERS[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
#define STACK_FORMAT "%d@[sp, %d]"
#define STACK_OFFSET 0
#else
#error "stub libraries are written for x86_64 and aarch64"
#endif
#define REGISTER_COUNT ((int)(sizeof(REGISTERS) / sizeof(REGISTERS[0])))

#endif
