// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * BPF program with which bench/reading.py measures bcc's reading: the probes of fires.c, in
 * records of the size of jprobe's. PAGES is defined at compile time.
 */
#include <uapi/linux/ptrace.h>

#define NO_WAKEUP 1

struct event {
	u64 time;
	u32 tid;
	u32 probe;
	u64 word[4];
	char text[];
};

BPF_RINGBUF_OUTPUT(events, PAGES);
BPF_ARRAY(lost, u64, 1);

static inline void count_lost(void)
{
	int key = 0;
	u64 *count = lost.lookup(&key);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static inline void put_words(struct event *event, struct pt_regs *ctx)
{
	event->time = bpf_ktime_get_ns();
	event->tid = (u32)bpf_get_current_pid_tgid();
	event->probe = (u32)bpf_get_attach_cookie(ctx);
	event->word[0] = ctx->di;
	event->word[1] = ctx->si;
	event->word[2] = ctx->dx;
	event->word[3] = ctx->cx;
}

static inline void *reserve_56(void)
{
	return events.ringbuf_reserve(56);
}

static inline void *reserve_120(void)
{
	return events.ringbuf_reserve(120);
}

int numbers_fired(struct pt_regs *ctx)
{
	struct event *event = reserve_56();

	if (!event) {
		count_lost();
		return 0;
	}
	put_words(event, ctx);
	bpf_ringbuf_submit(event, NO_WAKEUP);
	return 0;
}

int texts_fired(struct pt_regs *ctx)
{
	struct event *event = reserve_120();

	if (!event) {
		count_lost();
		return 0;
	}
	put_words(event, ctx);
	bpf_probe_read_user_str(event->text, 64, (void *)ctx->si);
	bpf_ringbuf_submit(event, NO_WAKEUP);
	return 0;
}

int do_nothing(struct pt_regs *ctx)
{
	return 0;
}
