// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * BPF programs at tracepoints of the kernel: when the threads of some processes run, wait for a CPU
 * or are blocked, their page faults and their system calls. Each writes one record to a ring
 * buffer. jcollect joins them with calls (sources/records/c/threads.c), so no call needs a trap at
 * its entry. Compiled by bcc; attached by jcollect/sources/threads/.
 *
 * A tracepoint fires for every process of the machine. The first thing that each program does is to
 * look up the process.
 *
 * jcollect replaces the values of AT_LOAD when it loads a program
 * (jcollect/sources/bpf/program.py).
 */
#include <jprobe/layout.h>
#include <uapi/linux/ptrace.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#ifndef BPF_RB_NO_WAKEUP
#define BPF_RB_NO_WAKEUP 1
#endif
#ifndef BPF_F_MMAPABLE
#define BPF_F_MMAPABLE (1U << 10)
#endif

#define AT_LOAD(number) bpf_pseudo_fd(15, number)
/* Offsets in task_struct: pid, which tgid follows, and sched_info.last_arrival. */
#define PID_OFFSET AT_LOAD(0)
#define ARRIVAL_OFFSET AT_LOAD(1)
/* The first and the last system call by which uprobes of jcollect's own trap. */
#define FIRST_TRAP AT_LOAD(2)
#define LAST_TRAP AT_LOAD(3)

/* include/linux/sched.h */
#define TASK_DEAD 0x80

struct arguments {
	u64 argument[4];
};

/* The IDs of a thread, as adjacent in task_struct. */
struct thread_ids {
	u32 tid;
	u32 process;
};

BPF_RINGBUF_OUTPUT(records, 1);
BPF_F_TABLE("array", u32, struct thread_counts, counts, 1, BPF_F_MMAPABLE);
/* The processes to watch, by ID. */
BPF_HASH(watched, u32, u32, 1);

static __always_inline int is_watched(u32 process)
{
	return watched.lookup(&process) != NULL;
}

static __always_inline void *reserve(void)
{
	return records.ringbuf_reserve(THREAD_RECORD_SIZE);
}

static __always_inline void put(u32 tid, u16 kind, u16 number, u64 value)
{
	struct thread_record *record = reserve();

	if (!record) {
		u32 first = 0;
		struct thread_counts *all = counts.lookup(&first);

		if (all)
			__sync_fetch_and_add(&all->lost, 1);
		return;
	}
	record->time = bpf_ktime_get_ns();
	record->value = value;
	record->tid = tid;
	record->number = number;
	record->kind = kind;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline struct thread_ids ids_of(u64 task)
{
	struct thread_ids ids = {};

	bpf_probe_read_kernel(&ids, sizeof(ids), (void *)(task + PID_OFFSET));
	return ids;
}

/* sched_switch: whether the thread is preempted, the thread, the next one, and its former state. */
int switched(struct arguments *ctx)
{
	u64 preempted = ctx->argument[0], task = ctx->argument[1], next = ctx->argument[2];
	u32 state = (u32)ctx->argument[3];
	u64 id = bpf_get_current_pid_tgid(), arrival = 0;
	struct thread_ids ids;

	if (is_watched(id >> 32)) {
		u16 kind = (preempted & 1) || !state ? THREAD_KIND_PREEMPTED
			   : state & TASK_DEAD	     ? THREAD_KIND_EXITED
						     : THREAD_KIND_BLOCKED;

		bpf_probe_read_kernel(&arrival, sizeof(arrival), (void *)(task + ARRIVAL_OFFSET));
		put((u32)id, kind, 0, arrival);
	}
	ids = ids_of(next);
	if (is_watched(ids.process))
		put(ids.tid, THREAD_KIND_RUNNING, 0, 0);
	return 0;
}

/* sched_wakeup and sched_wakeup_new: the thread. */
int woken(struct arguments *ctx)
{
	struct thread_ids ids = ids_of(ctx->argument[0]);

	if (is_watched(ids.process))
		put(ids.tid, THREAD_KIND_WOKEN, 0, 0);
	return 0;
}

/* page_fault_user */
int faulted(struct arguments *ctx)
{
	u64 id = bpf_get_current_pid_tgid();

	if (is_watched(id >> 32))
		put((u32)id, THREAD_KIND_FAULT, 0, 0);
	return 0;
}

/* sys_enter: registers, number. A record for each end costs less than a table of the calls that
 * have begun, and calls that never end, such as exit, leave nothing behind. */
int entered_call(struct arguments *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), number = ctx->argument[1];

	if (is_watched(id >> 32) && !(number >= FIRST_TRAP && number <= LAST_TRAP))
		put((u32)id, THREAD_KIND_ENTERED, (u16)number, 0);
	return 0;
}

/* sys_exit. The end of a trap has no beginning, and is ignored. */
int left_call(struct arguments *ctx)
{
	u64 id = bpf_get_current_pid_tgid();

	if (is_watched(id >> 32))
		put((u32)id, THREAD_KIND_SYSCALL, 0, 0);
	return 0;
}

/* A uprobe at the agent's stubs for mounts and unmounts of virtual threads: the thread's ID. The
 * cookie has the kind of the record and the number of the process: see pack in threads/mounts.py.
 */
int moved(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx);

	put((u32)bpf_get_current_pid_tgid(), (u16)(cookie & 0xffff), (u16)(cookie >> 16),
#if defined(JPROBE_X86_64)
	    ctx->di
#else
	    ctx->regs[0]
#endif
	);
	return 0;
}

/* Does nothing: to find the best attach point. */
int do_nothing(struct pt_regs *ctx)
{
	return 0;
}
