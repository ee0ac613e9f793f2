/* SPDX-License-Identifier: Apache-2.0
 *
 * A program with two USDT probes and without jprobe: no manifest, no stub library. Reads numbers
 * from stdin, fires both probes so many times, and answers with the semaphore.
 */
#include <stdio.h>

unsigned short orders_placed_semaphore __attribute__((section(".probes"), visibility("hidden")));

/* The note of sys/sdt.h, version 3. */
#define FIRE(name, semaphore, arguments, ...)                                           \
	__asm__ __volatile__(                                                           \
		"990: nop\n"                                                            \
		".pushsection .note.stapsdt,\"\",\"note\"\n"                            \
		".balign 4\n"                                                           \
		".4byte 992f-991f, 994f-993f, 3\n"                                      \
		"991: .asciz \"stapsdt\"\n"                                             \
		"992: .balign 4\n"                                                      \
		"993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                     \
		".asciz \"orders\"\n"                                                   \
		".asciz \"" name "\"\n"                                                 \
		".asciz \"" arguments "\"\n"                                            \
		"994: .balign 4\n"                                                      \
		".popsection\n"                                                         \
		".ifndef _.stapsdt.base\n"                                              \
		".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
		".weak _.stapsdt.base\n"                                                \
		".hidden _.stapsdt.base\n"                                              \
		"_.stapsdt.base: .space 1\n"                                            \
		".size _.stapsdt.base, 1\n"                                             \
		".popsection\n"                                                         \
		".endif\n" ::__VA_ARGS__)

int main(void)
{
	unsigned count;

	printf("ready\n");
	fflush(stdout);
	while (scanf("%u", &count) == 1) {
		for (unsigned long i = 0; i < count; i++) {
			FIRE("placed", "orders_placed_semaphore", "8@%%rdi -8@%%rsi", "D"(i),
			     "S"(-(long)i));
			FIRE("closed", "0", "-4@%%eax 8@%%rsi", "a"((int)i), "S"(i));
		}
		printf("%u\n", (unsigned)orders_placed_semaphore);
		fflush(stdout);
	}
	return 0;
}
