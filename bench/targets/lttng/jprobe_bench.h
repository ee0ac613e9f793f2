/* SPDX-License-Identifier: Apache-2.0 */
/* The tracepoint of returns.c, as LTTng-ust's macros need it. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER jprobe_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "jprobe_bench.h"

#if !defined(JPROBE_BENCH_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define JPROBE_BENCH_H

#include <lttng/tracepoint.h>
#include <stdint.h>

/* The values of a return probe with one number. */
LTTNG_UST_TRACEPOINT_EVENT(
	jprobe_bench, returned,
	LTTNG_UST_TP_ARGS(uint64_t, duration, int64_t, value, uint64_t, thread),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, duration, duration)
				    lttng_ust_field_integer(int64_t, value, value)
					    lttng_ust_field_integer(uint64_t, thread, thread)))

#endif

#include <lttng/tracepoint-event.h>
