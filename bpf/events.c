// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The BPF program that runs at each firing of every probe of every process: it copies the stub's
 * arguments into the ring buffer. The attach cookie identifies the probe and describes its
 * arguments, so no program is generated per probe. Compiled by bcc; attached by
 * jcollect/sources/bpf/.
 *
 * layout/record.toml describes the cookie and the record.
 *
 * Records have one of a few sizes, such that size + 8 (the ring buffer's header) is a multiple of
 * 64. Every record therefore starts on a 64-byte boundary of the ring buffer, and a reader can take
 * records in bulk.
 *
 * The record is written in place, in memory reserved from the ring buffer. A per-CPU scratch map
 * would not do: BPF programs of uprobes are preemptible. Another thread's program can run on this
 * CPU in the middle of this one and overwrite a shared scratch. For the same reason the counters
 * are incremented atomically although each CPU has its own row. So CPUs can share rows, and do if a
 * row for each CPU would use too much memory.
 *
 * jcollect defines JPROBE_X86_64 or JPROBE_AARCH64 at compile time. When it loads the program, it
 * replaces the values of AT_LOAD (jcollect/sources/bpf/program.py) and creates the maps in their
 * real sizes. So the compiled program serves every machine of its architecture.
 */
#include <jprobe/layout.h>
#include <uapi/linux/ptrace.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Maximum text of a string, with its NUL. */
#define LONG_STRING (WORDS_MAX_TEXT + 1)
/* Holds most texts, such as URLs and short statements. A string that fills it is read again with
 * LONG_STRING. */
#define SHORT_STRING 136
/* Holds most names of classes and the like: a record with one such string uses 128 bytes of the
 * ring buffer. */
#define TINY_STRING 64

#ifndef BPF_RB_NO_WAKEUP
#define BPF_RB_NO_WAKEUP 1
#endif
#ifndef BPF_F_MMAPABLE
#define BPF_F_MMAPABLE (1U << 10)
#endif

/*
 * A value that is not known before the program is loaded: an instruction that loads 64 bits, with a
 * source register that no kernel uses. For the verifier it is a constant.
 */
#define AT_LOAD(number) bpf_pseudo_fd(15, number)
/* Number of probe IDs. */
#define PROBES AT_LOAD(0)
/* Number of rows of counters, a power of two, minus one. */
#define ROW_MASK AT_LOAD(1)
/* The collector's PID namespace by device and inode number; zero in the initial one. */
#define NAMESPACE_DEVICE AT_LOAD(2)
#define NAMESPACE_INODE AT_LOAD(3)

/* A firing before it has a record. */
struct firing {
	u64 time;
	u32 tid;
	u32 probe;
	u32 words;
	u32 strings; /* mask */
	u32 flags;
	s32 late;
	u64 word[WORDS_MAX];
};

BPF_RINGBUF_OUTPUT(events, 1);
/* Element row * PROBES + probe. jcollect maps it, and so reads it without a system call. */
BPF_F_TABLE("array", u32, struct probe_counts, counters, 1, BPF_F_MMAPABLE);
/* Where the arguments of marks are, by probe ID. */
BPF_HASH(arguments, u32, struct operands, 1);

static __always_inline void put_header(struct record *record, struct firing *firing)
{
	record->time = firing->time;
	record->tid = firing->tid;
	record->probe = firing->probe;
	record->late = firing->late;
	record->text = 0;
	record->words = firing->words;
	record->flags = firing->flags;
}

/* Writes as many words as `bytes` have room for: the number that the stub passes is not known at
 * compile time. */
static __always_inline void put_words(struct record *record, struct firing *firing, const u32 bytes)
{
#pragma unroll
	for (int i = 0; i < WORDS_MAX && RECORD_SIZE + 8 * (i + 1) <= bytes; i++)
		record->word[i] = firing->word[i];
}

/*
 * Reads the strings into the record, densely. Returns 0, or 1 if a string did not fit into `slot`
 * bytes. Requires RECORD_SIZE + 8 * words + slot * strings <= bytes.
 *
 * During that time the words, the mask of strings and the offset of the next text are kept in the
 * record alone, the latter two in place of other fields. The verifier does not track values that
 * are read from there. So all paths through one iteration of the loop are equal for it at the next,
 * and it follows only one of them. It then checks 8,000 instructions in 10 ms. With one of these
 * values in a register or on the stack, it would check a hundred times that number.
 */
static __always_inline int put_strings(struct record *record, struct firing *firing,
				       const u32 bytes, const u32 slot)
{
	u32 start = RECORD_SIZE + 8 * firing->words;
	volatile u32 *offset = (volatile u32 *)&record->late;
	volatile u32 *strings = &record->tid;

	*offset = start;
	*strings = firing->strings;
	/* Words that the stub does not pass are overwritten by text, or are in the unused rest. */
	put_words(record, firing, bytes);
#pragma unroll
	for (int i = 0; i < WORDS_MAX_STRINGS; i++) {
		u64 pointer = *(volatile u64 *)&record->word[i];
		u64 value = 0;

		if (!(*strings & (1 << i)))
			continue;
		if (pointer) {
			u32 at = *offset;
			long length;

			/* Never true; the verifier requires it. */
			if (at > bytes - slot)
				return 1;
			length =
				bpf_probe_read_user_str((char *)record + at, slot, (void *)pointer);
			value = STRING_WORD_PRESENT |
				/* Truncated texts begin at odd addresses. */
				LAYOUT_PUT(STRING_WORD_CUT, pointer);
			if (length <= 0) {
				value |= STRING_WORD_UNREADABLE;
			} else {
				/* The NUL does not count. */
				u32 text = (u32)(length - 1);

				if (slot < LONG_STRING && text >= slot - 1)
					return 1;
				value |= LAYOUT_PUT(STRING_WORD_LENGTH, (u64)text);
				*offset = at + text;
			}
		}
		record->word[i] = value;
	}
	start = *offset - start;
	put_header(record, firing);
	record->text = (u16)start;
	return 0;
}

/* bcc requires a constant size at the call of a reservation, and the call outside of a macro. */
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
	u32 fixed = RECORD_SIZE + 8 * firing->words;
	u32 need = fixed + SHORT_STRING * strings;
	int full;

	if (fixed + TINY_STRING * strings <= 120) {
		full = put_tiny(firing);
		if (full <= 0)
			return full;
	}

	if (need <= 248)
		full = put_short_248(firing);
	else if (need <= 504)
		full = put_short_504(firing);
	else if (need <= 1016)
		full = put_short_1016(firing);
	else
		full = put_short_2040(firing);
	if (full <= 0)
		return full;

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

/* The number of words that a record of that size has room for. */
#define WORDS_IN(bytes) (((bytes) - RECORD_SIZE) / 8)
_Static_assert(WORDS_IN(248) >= WORDS_MAX, "a record of words alone");
_Static_assert(12472 >= RECORD_SIZE + 8 * WORDS_MAX + LONG_STRING * WORDS_MAX_STRINGS,
	       "the largest record");
_Static_assert(12472 <= RECORD_LIMITS_MAX_BYTES, "the drain rejects a larger record");

PUT_WORDS(put_words_56, 56)
PUT_WORDS(put_words_120, 120)
PUT_WORDS(put_words_248, 248)

/* Returns this thread's ID as the collector's PID namespace has it; 0 for a thread of a namespace
 * inside of that one, whose ID no helper returns. */
static __always_inline u32 thread_id(void)
{
	struct bpf_pidns_info ids = {};

	/* The verifier knows the constant and removes the other branch. */
	if (!NAMESPACE_INODE)
		return (u32)bpf_get_current_pid_tgid();
	if (bpf_get_ns_current_pid_tgid(NAMESPACE_DEVICE, NAMESPACE_INODE, &ids, sizeof(ids)))
		return 0;
	return ids.pid;
}

/* Returns the time from the end of a call to the trap, given the argument behind the words that the
 * note describes. */
static __always_inline s32 lateness(struct firing *firing, u32 in_registers, u64 stack)
{
	u64 passed = 0;
	s64 late;

	/* The verifier of older kernels knows no variable index. */
#pragma unroll
	for (u32 i = 1; i < 8; i++)
		if (i < in_registers && firing->words == i)
			passed = firing->word[i];
	if (firing->words >= in_registers &&
	    bpf_probe_read_user(&passed, 8, (void *)(stack + 8 * (firing->words - in_registers))))
		return RECORD_LATE_UNKNOWN;
	if (LAYOUT_GET(END_OF_CALL_VIRTUAL, passed))
		firing->flags |= RECORD_FLAGS_VIRTUAL;
	late = (s64)(firing->time - LAYOUT_GET(END_OF_CALL_TIME, passed));
	/* A program that measured no end passes 0. */
	return late == (s32)late ? (s32)late : RECORD_LATE_UNKNOWN;
}

int probe_fired(struct pt_regs *ctx)
{
	struct firing firing = {};
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct probe_counts *counts;
	u32 key, strings, on_stack, in_registers;
	u64 stack;
	int failed;

	firing.probe = LAYOUT_GET(COOKIE_PROBE, cookie);
	firing.words = LAYOUT_GET(COOKIE_WORDS, cookie);
	firing.strings = LAYOUT_GET(COOKIE_STRINGS, cookie);
	if (firing.probe >= PROBES || firing.words > WORDS_MAX)
		return 0;

	key = (bpf_get_smp_processor_id() & ROW_MASK) * PROBES + firing.probe;
	counts = counters.lookup(&key);
	if (!counts)
		return 0;
	__sync_fetch_and_add(&counts->hits, 1);

	firing.time = bpf_ktime_get_ns();
	firing.tid = thread_id();

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
		/* Never true; the verifier requires it. */
		if (on_stack > WORDS_MAX - in_registers)
			return 0;
		if (bpf_probe_read_user(&firing.word[in_registers], 8 * on_stack, (void *)stack))
			firing.flags |= RECORD_FLAGS_STACK_UNREADABLE;
	}

	if (LAYOUT_GET(COOKIE_TIMED, cookie))
		firing.late = lateness(&firing, in_registers, stack);

	strings = firing.strings;
	if (strings) {
		/* The number of bits set. BPF has no instruction for it. */
		strings = (strings & 0x555) + ((strings >> 1) & 0x555);
		strings = (strings & 0x333) + ((strings >> 2) & 0x333);
		strings = (strings & 0x00f) + ((strings >> 4) & 0x00f) + ((strings >> 8) & 0x00f);
		failed = put_with_strings(&firing, strings);
	} else if (firing.words <= WORDS_IN(56)) {
		failed = put_words_56(&firing);
	} else if (firing.words <= WORDS_IN(120)) {
		failed = put_words_120(&firing);
	} else {
		failed = put_words_248(&firing);
	}
	if (failed)
		__sync_fetch_and_add(&counts->lost, 1);
	return 0;
}

/* Returns the content of a register, given by its offset in struct pt_regs. */
static __always_inline u64 register_at(struct pt_regs *ctx, u32 offset)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx + (offset & 0xf8));
	return value;
}

/* Returns an argument, extended to 64 bits. Sets `failed` if its memory cannot be read. */
static __always_inline u64 argument(struct pt_regs *ctx, const struct operand *operand, int *failed)
{
	u32 size = operand->bytes & 15, shift = (64 - 8 * size) & 63;
	u64 value = (u64)operand->value, address;

	if (operand->kind == OPERAND_KIND_REGISTER) {
		value = register_at(ctx, operand->base);
	} else if (operand->kind == OPERAND_KIND_MEMORY) {
		address = value + register_at(ctx, operand->base);
		if (operand->index != OPERAND_LIMITS_NONE)
			address += operand->scale * register_at(ctx, operand->index);
		value = 0;
		/* Never true; the verifier requires it. */
		if (size > 8)
			size = 8;
		if (bpf_probe_read_user(&value, size, (void *)address))
			*failed = 1;
	}
	value <<= shift;
	return operand->is_signed ? (u64)((s64)value >> shift) : value >> shift;
}

/* Reads a string into a record, at `at`. Returns its word. */
static __always_inline u64 put_argument_text(struct pt_regs *ctx, const struct operands *operands,
					     const struct operand *operand, char *text, u64 pointer)
{
	u64 length, value = STRING_WORD_PRESENT;
	int failed = 0;
	long read;

	if (operand->length == OPERAND_LIMITS_NONE) {
		read = bpf_probe_read_user_str(text, OPERAND_LIMITS_MOST_TEXT + 1, (void *)pointer);
		if (read <= 0)
			return value | STRING_WORD_UNREADABLE;
		if (read > OPERAND_LIMITS_MOST_TEXT)
			value |= STRING_WORD_CUT;
		return value | LAYOUT_PUT(STRING_WORD_LENGTH, (u64)(read - 1));
	}
	length = argument(ctx, &operands->operand[operand->length & (OPERAND_LIMITS_MOST - 1)],
			  &failed);
	if (length > OPERAND_LIMITS_MOST_TEXT) {
		length = OPERAND_LIMITS_MOST_TEXT;
		value |= STRING_WORD_CUT;
	}
	length &= OPERAND_LIMITS_MOST_TEXT;
	if (failed || bpf_probe_read_user(text, (u32)length, (void *)pointer))
		return STRING_WORD_PRESENT | STRING_WORD_UNREADABLE;
	return value | LAYOUT_PUT(STRING_WORD_LENGTH, length);
}

#define MARK_BYTES 1208
_Static_assert(MARK_BYTES >= RECORD_SIZE + 8 * WORDS_MAX +
				     (OPERAND_LIMITS_MOST_TEXT + 1) * OPERAND_LIMITS_MOST_STRINGS,
	       "a record of a mark");

/* As put_strings, see there. */
static __always_inline int put_mark(struct pt_regs *ctx, struct firing *firing,
				    const struct operands *operands)
{
	struct record *record = reserve_1208();
	u32 start = RECORD_SIZE + 8 * firing->words;
	volatile u32 *offset, *strings;

	if (!record)
		return -1;
	offset = (volatile u32 *)&record->late;
	strings = &record->tid;
	*offset = start;
	*strings = firing->strings;
	put_words(record, firing, MARK_BYTES);
#pragma unroll
	for (int i = 0; i < WORDS_MAX_STRINGS; i++) {
		u64 pointer = *(volatile u64 *)&record->word[i], value = 0;

		if (!(*strings & (1 << i)))
			continue;
		if (pointer) {
			u32 at = *offset;

			/* Never true; the verifier requires it. */
			if (at > MARK_BYTES - OPERAND_LIMITS_MOST_TEXT - 1) {
				bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
				return -1;
			}
			value = put_argument_text(ctx, operands, &operands->operand[i],
						  (char *)record + at, pointer);
			*offset = at + (u32)LAYOUT_GET(STRING_WORD_LENGTH, value);
		}
		record->word[i] = value;
	}
	start = *offset - start;
	put_header(record, firing);
	record->text = (u16)start;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* A mark of any program, whose note says where its arguments are. */
int mark_fired(struct pt_regs *ctx)
{
	struct firing firing = {};
	u64 cookie = bpf_get_attach_cookie(ctx);
	const struct operands *operands;
	struct probe_counts *counts;
	int failed = 0;
	u32 key;

	firing.probe = LAYOUT_GET(COOKIE_PROBE, cookie);
	if (firing.probe >= PROBES)
		return 0;
	key = (bpf_get_smp_processor_id() & ROW_MASK) * PROBES + firing.probe;
	counts = counters.lookup(&key);
	operands = arguments.lookup(&firing.probe);
	if (!counts || !operands)
		return 0;
	__sync_fetch_and_add(&counts->hits, 1);
	firing.time = bpf_ktime_get_ns();
	firing.tid = thread_id();
	firing.words = operands->words;
	firing.strings = operands->strings;
	if (firing.words > WORDS_MAX)
		return 0;
#pragma unroll
	for (int i = 0; i < WORDS_MAX; i++)
		if (i < (int)firing.words)
			firing.word[i] = argument(ctx, &operands->operand[i], &failed);
	if (failed)
		firing.flags |= RECORD_FLAGS_STACK_UNREADABLE;

	if (firing.strings)
		failed = put_mark(ctx, &firing, operands);
	else if (firing.words <= WORDS_IN(56))
		failed = put_words_56(&firing);
	else
		failed = put_words_248(&firing);
	if (failed)
		__sync_fetch_and_add(&counts->lost, 1);
	return 0;
}

/* Does nothing. jcollect attaches it to a stub of its own to find the fastest attach point. */
int do_nothing(struct pt_regs *ctx)
{
	return 0;
}
