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
/* nop, which every tool on every kernel can probe; nop5, which kernels from 6.18 on can turn into
 * a call, and nop10, which later ones can; ret. */
static const unsigned char STUB_CODE[STUB_SLOT_SIZE] = {
	0x90, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x66, 0x2e, 0x0f,
	0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc3,
};
static const char *const REGISTERS[] = {"%rdi", "%rsi", "%rdx", "%rcx", "%r8", "%r9"};
/* At the stub's first instruction, the stack pointer points to the return address. */
#define STACK_FORMAT "%d@%d(%%rsp)"
#define STACK_OFFSET 8
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define PAGE 0x10000
static const unsigned char STUB_CODE[STUB_SLOT_SIZE] = {
	0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6,
};
static const char *const REGISTERS[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
#define STACK_FORMAT "%d@[sp, %d]"
#define STACK_OFFSET 0
#else
#error "stub libraries are written for x86_64 and aarch64"
#endif
#define REGISTER_COUNT ((int)(sizeof(REGISTERS) / sizeof(REGISTERS[0])))

#endif
