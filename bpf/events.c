// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The one handler of every probe of every process: copies a stub's arguments into the ring.
 * Which probe fired and what its arguments are is in the attach cookie, so nothing is generated
 * per probe. Compiled by bcc; attached by jcollect/sources/bpf/.
 *
 * Cookie (the same in jcollect/sources/bpf/cookie.py):
 *   bits  0..31   probe id
 *   bits 32..35   number of words that the stub passes, 1..13
 *   bits 36..47   bit i set: word i is a string, a pointer to NUL-terminated UTF-8 or 0, which is
 *                 odd if the agent has cut the text; the last word, the thread id, never is one
 *
 * Record (the same in jcollect/sources/bpf/record.py), little-endian, after the ring's own 8 bytes:
 *   u64 time      CLOCK_MONOTONIC, ns
 *   u32 tid       root PID namespace
 *   u32 probe     probe id
 *   u32 text      bytes of text after the words
 *   u16 words     number of words
 *   u16 flags     bit 0: the words on the stack could not be read, and are 0
 *   u64 word[words]; in place of a string:
 *       bits 0..31 length in bytes, bit 32 there is a string (not null), bit 33 could not be read,
 *       bit 34 the agent has cut it
 *   u8  text[text], all strings one after the other, without NULs
 *   unused bytes up to the size class
 *
 * Size classes are such that class + 8 (the ring's header) is a multiple of 64: every record
 * starts on a 64-byte boundary of the ring, which lets the reader take records in bulk.
 *
 * The record is written in place, in memory reserved from the ring, and not in a per-CPU scratch
 * map: uprobe programs run preemptible, so that another thread's handler can run on this CPU
 * in the middle of this one and would overwrite a shared scratch. For the same reason the counters
 * are added to atomically, although each CPU has its own; so CPUs may share them, and do where
 * otherwise those of many CPUs and many probes would take too much memory.
 *
 * Given by jcollect at compile time: JPROBE_X86_64 or JPROBE_AARCH64. When it loads the handlers it
 * replaces the values of AT_LOAD (jcollect/sources/bpf/program.py), and makes the maps in their true
 * sizes: what is compiled serves them all.
 */
#include <uapi/linux/ptrace.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define MAX_WORDS 13
#define MAX_STRINGS 12
#define HEADER_BYTES 24

#define STRING_PRESENT (1ULL << 32)
#define STRING_UNREADABLE (1ULL << 33)
#define STRING_CUT_SHIFT 34

#define FLAG_STACK_UNREADABLE 1

/* At most 1024 bytes of text and a NUL. */
#define LONG_STRING 1025
/* Holds a string of the agent's default limit, 128 bytes; one that fills it is read again as long.
 */
#define SHORT_STRING 136
/* Holds most names of classes and the like: a record with one such string takes 128 bytes of the
 * ring. */
#define TINY_STRING 64

#ifndef BPF_RB_NO_WAKEUP
#define BPF_RB_NO_WAKEUP 1
#endif
#ifndef BPF_F_MMAPABLE
#define BPF_F_MMAPABLE (1U << 10)
#endif

/*
 * A value that is not known before the handlers are loaded: an instruction that loads 64 bits, with
 * a source register that no kernel knows. To the verifier it is a constant.
 */
#define AT_LOAD(number) bpf_pseudo_fd(15, number)
/* Probe ids are below. */
#define PROBES AT_LOAD(0)
/* One less than the number of rows of counters, which is a power of two. */
#define ROW_MASK AT_LOAD(1)

struct record {
	u64 time;
	u32 tid;
	u32 probe;
	u32 text;
	u16 words;
	u16 flags;
	u64 word[];
};

struct counts {
	u64 hits;
	u64 lost;
};

struct firing {
	u64 time;
	u32 tid;
	u32 probe;
	u32 words;
	u32 strings; /* mask */
	u32 flags;
	u64 word[MAX_WORDS];
};

BPF_RINGBUF_OUTPUT(events, 1);
/* Element row * PROBES + probe; mapped by the reader, which thus reads it without a call. */
BPF_F_TABLE("array", u32, struct counts, counters, 1, BPF_F_MMAPABLE);

static __always_inline void put_header(struct record *record, struct firing *firing)
{
	record->time = firing->time;
	record->tid = firing->tid;
	record->probe = firing->probe;
	record->text = 0;
	record->words = firing->words;
	record->flags = firing->flags;
}

/* As many as `bytes` have room for: how many the stub passes is not known at compile time. */
static __always_inline void put_words(struct record *record, struct firing *firing, const u32 bytes)
{
#pragma unroll
	for (int i = 0; i < MAX_WORDS && HEADER_BYTES + 8 * (i + 1) <= bytes; i++)
		record->word[i] = firing->word[i];
}

/*
 * Reads the strings into the record, densely. Returns 0, or 1 if one did not fit into `slot`
 * bytes. Needs HEADER_BYTES + 8 * words + slot * strings <= bytes.
 *
 * While this goes on, the words, the mask of strings and the place of the next text are kept in the
 * record alone: about what comes out of there the verifier knows nothing, so that all ways through
 * one turn of the loop look the same to it at the next, and it follows only one of them. It then
 * looks at 8,000 instructions in 10 ms; with any of these in a register or on the stack, at a
 * hundred times as many.
 */
static __always_inline int put_strings(struct record *record, struct firing *firing,
				       const u32 bytes, const u32 slot)
{
	u32 start = HEADER_BYTES + 8 * firing->words;
	volatile u32 *place = &record->text;
	volatile u32 *strings = &record->tid;

	*place = start;
	*strings = firing->strings;
	/* Words that the stub does not pass are overwritten by text, or lie in the unused rest. */
	put_words(record, firing, bytes);
#pragma unroll
	for (int i = 0; i < MAX_STRINGS; i++) {
		u64 pointer = *(volatile u64 *)&record->word[i];
		u64 value = 0;

		if (!(*strings & (1 << i)))
			continue;
		if (pointer) {
			u32 at = *place;
			long length;

			/* Never true; the verifier wants to see it. */
			if (at > bytes - slot)
				return 1;
			length =
				bpf_probe_read_user_str((char *)record + at, slot, (void *)pointer);
			value = STRING_PRESENT | (pointer & 1) << STRING_CUT_SHIFT;
			if (length <= 0) {
				value |= STRING_UNREADABLE;
			} else {
				/* Without its NUL. */
				u32 text = (u32)(length - 1);

				if (slot < LONG_STRING && text >= slot - 1)
					return 1;
				value |= text;
				*place = at + text;
			}
		}
		record->word[i] = value;
	}
	start = *place - start;
	put_header(record, firing);
	record->text = start;
	return 0;
}

/*
 * bcc wants the size of a reservation to be a constant at the call, and the call outside of a
 * macro.
 */
static __always_inline void *reserve_56(void)
{
	return events.ringbuf_reserve(56);
}
static __always_inline void *reserve_120(void)
{
	return events.ringbuf_reserve(120);
}
static __always_inline void *reserve_248(void)
{
	return events.ringbuf_reserve(248);
}
static __always_inline void *reserve_504(void)
{
	return events.ringbuf_reserve(504);
}
static __always_inline void *reserve_1016(void)
{
	return events.ringbuf_reserve(1016);
}
static __always_inline void *reserve_2040(void)
{
	return events.ringbuf_reserve(2040);
}
static __always_inline void *reserve_1208(void)
{
	return events.ringbuf_reserve(1208);
}
static __always_inline void *reserve_2232(void)
{
	return events.ringbuf_reserve(2232);
}
static __always_inline void *reserve_4088(void)
{
	return events.ringbuf_reserve(4088);
}
static __always_inline void *reserve_8184(void)
{
	return events.ringbuf_reserve(8184);
}
static __always_inline void *reserve_12472(void)
{
	return events.ringbuf_reserve(12472);
}

#define PUT_STRINGS(name, bytes, slot)                                 \
	static __always_inline int name(struct firing *firing)         \
	{                                                              \
		struct record *record = reserve_##bytes();             \
		if (!record)                                           \
			return -1;                                     \
		if (put_strings(record, firing, bytes, slot)) {        \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP); \
			return 1;                                      \
		}                                                      \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);          \
		return 0;                                              \
	}

PUT_STRINGS(put_tiny, 120, TINY_STRING)
PUT_STRINGS(put_short_248, 248, SHORT_STRING)
PUT_STRINGS(put_short_504, 504, SHORT_STRING)
PUT_STRINGS(put_short_1016, 1016, SHORT_STRING)
PUT_STRINGS(put_short_2040, 2040, SHORT_STRING)
PUT_STRINGS(put_long_1208, 1208, LONG_STRING)
PUT_STRINGS(put_long_2232, 2232, LONG_STRING)
PUT_STRINGS(put_long_4088, 4088, LONG_STRING)
PUT_STRINGS(put_long_8184, 8184, LONG_STRING)
PUT_STRINGS(put_long_12472, 12472, LONG_STRING)

static __always_inline int put_with_strings(struct firing *firing, u32 strings)
{
	u32 fixed = HEADER_BYTES + 8 * firing->words;
	u32 need = fixed + SHORT_STRING * strings;
	int cut;

	if (fixed + TINY_STRING * strings <= 120) {
		cut = put_tiny(firing);
		if (cut <= 0)
			return cut;
	}

	if (need <= 248)
		cut = put_short_248(firing);
	else if (need <= 504)
		cut = put_short_504(firing);
	else if (need <= 1016)
		cut = put_short_1016(firing);
	else
		cut = put_short_2040(firing);
	if (cut <= 0)
		return cut;

	need = fixed + LONG_STRING * strings;
	if (need <= 1208)
		return put_long_1208(firing);
	if (need <= 2232)
		return put_long_2232(firing);
	if (need <= 4088)
		return put_long_4088(firing);
	if (need <= 8184)
		return put_long_8184(firing);
	return put_long_12472(firing);
}

#define PUT_WORDS(name, bytes)                                 \
	static __always_inline int name(struct firing *firing) \
	{                                                      \
		struct record *record = reserve_##bytes();     \
		if (!record)                                   \
			return -1;                             \
		put_header(record, firing);                    \
		put_words(record, firing, bytes);              \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);  \
		return 0;                                      \
	}

PUT_WORDS(put_4_words, 56)
PUT_WORDS(put_12_words, 120)
PUT_WORDS(put_13_words, 248)

int probe_fired(struct pt_regs *ctx)
{
	struct firing firing = {};
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct counts *counts;
	u32 key, strings, on_stack, in_registers;
	u64 stack;
	int failed;

	firing.probe = (u32)cookie;
	firing.words = (cookie >> 32) & 0xf;
	firing.strings = (cookie >> 36) & 0xfff;
	if (firing.probe >= PROBES || firing.words > MAX_WORDS)
		return 0;

	key = (bpf_get_smp_processor_id() & ROW_MASK) * PROBES + firing.probe;
	counts = counters.lookup(&key);
	if (!counts)
		return 0;
	__sync_fetch_and_add(&counts->hits, 1);

	firing.time = bpf_ktime_get_ns();
	firing.tid = (u32)bpf_get_current_pid_tgid();

#if defined(JPROBE_X86_64)
	in_registers = 6;
	firing.word[0] = ctx->di;
	firing.word[1] = ctx->si;
	firing.word[2] = ctx->dx;
	firing.word[3] = ctx->cx;
	firing.word[4] = ctx->r8;
	firing.word[5] = ctx->r9;
	stack = ctx->sp + 8; /* past the return address */
#else
	in_registers = 8;
	firing.word[0] = ctx->regs[0];
	firing.word[1] = ctx->regs[1];
	firing.word[2] = ctx->regs[2];
	firing.word[3] = ctx->regs[3];
	firing.word[4] = ctx->regs[4];
	firing.word[5] = ctx->regs[5];
	firing.word[6] = ctx->regs[6];
	firing.word[7] = ctx->regs[7];
	stack = ctx->sp;
#endif
	if (firing.words > in_registers) {
		on_stack = firing.words - in_registers;
		/* Never true; the verifier wants to see it. */
		if (on_stack > MAX_WORDS - in_registers)
			return 0;
		if (bpf_probe_read_user(&firing.word[in_registers], 8 * on_stack, (void *)stack))
			firing.flags |= FLAG_STACK_UNREADABLE;
	}

	strings = firing.strings;
	if (strings) {
		/* The number of bits set; the handler's instruction set has none for it. */
		strings = (strings & 0x555) + ((strings >> 1) & 0x555);
		strings = (strings & 0x333) + ((strings >> 2) & 0x333);
		strings = (strings & 0x00f) + ((strings >> 4) & 0x00f) + ((strings >> 8) & 0x00f);
		failed = put_with_strings(&firing, strings);
	} else if (firing.words <= 4) {
		failed = put_4_words(&firing);
	} else if (firing.words <= 12) {
		failed = put_12_words(&firing);
	} else {
		failed = put_13_words(&firing);
	}
	if (failed)
		__sync_fetch_and_add(&counts->lost, 1);
	return 0;
}

/* For finding out where in a stub to attach. */
int do_nothing(struct pt_regs *ctx)
{
	return 0;
}
