/* SPDX-License-Identifier: Apache-2.0
 *
 * A program with USDT probes and without jprobe: no manifest, no stub library. Reads numbers
 * from stdin, fires all probes so many times, and answers with the semaphore.
 */
#include <stdio.h>
#include <string.h>

unsigned short orders_placed_semaphore __attribute__((section(".probes"), visibility("hidden")));

/* The note of sys/sdt.h, version 3. */
#define FIRE(provider, name, semaphore, arguments, ...)                                 \
	__asm__ __volatile__(                                                           \
		"990: nop\n"                                                            \
		".pushsection .note.stapsdt,\"\",\"note\"\n"                            \
		".balign 4\n"                                                           \
		".4byte 992f-991f, 994f-993f, 3\n"                                      \
		"991: .asciz \"stapsdt\"\n"                                             \
		"992: .balign 4\n"                                                      \
		"993: .8byte 990b, _.stapsdt.base, " semaphore "\n"                     \
		".asciz \"" provider "\"\n"                                             \
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
	/* Memory that the probe "every" reads. */
	static unsigned long array[] = {0xfffffffe, 0x1122334455667788, 3, 4};
	static char text[512];
	unsigned count;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "GC\xc5\xbc!", 5);
	printf("ready\n");
	fflush(stdout);
	while (scanf("%u", &count) == 1) {
		for (unsigned long i = 0; i < count; i++) {
			FIRE("orders", "placed", "orders_placed_semaphore", "8@%%rdi -8@%%rsi",
			     "D"(i), "S"(-(long)i));
			FIRE("orders", "closed", "0", "-4@%%eax 8@%%rsi", "a"((int)i), "S"(i));
			FIRE("orders", "every", "0",
			     "1@%%al -1@%%bl -2@%%cx -8@$-5 8@8(%%rdi) -4@(%%rdi,%%rdx,4) "
			     "2@-2(%%rsi) 8f@%%xmm0 8@nowhere(%%rip)",
			     "a"(0x1ff), "b"(0x80), "c"(0x8001), "D"(array), "d"(i),
			     "S"(array + 1));
			FIRE("hotspot", "vmops__begin", "0", "8@%%rdi 8@%%rsi -4@$7",
			     "D"(i % 3 ? text : NULL), "S"(i % 3 == 1 ? 5 : 400));
		}
		printf("%u\n", (unsigned)orders_placed_semaphore);
		fflush(stdout);
	}
	return 0;
}
