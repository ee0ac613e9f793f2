/* SPDX-License-Identifier: Apache-2.0
 *
 * The bucket of a duration in an exponential histogram of OpenTelemetry at scale 4, in integer
 * arithmetic: bucket i is for values above 2^(i/16), up to and including 2^((i+1)/16).
 */
#ifndef DIRECT_HISTOGRAM_H
#define DIRECT_HISTOGRAM_H

#include <jprobe/layout.h>
#include <stdint.h>

#define HISTOGRAM_STEPS (1 << HISTOGRAM_SCALE_SCALE)

/* 2^(63 + k/16), rounded down. Only the first is a whole number. */
static const uint64_t HISTOGRAM_BOUNDS[HISTOGRAM_STEPS + 1] = {
	0x8000000000000000U, 0x85aac367cc487b14U, 0x8b95c1e3ea8bd6e6U, 0x91c3d373ab11c336U,
	0x9837f0518db8a96fU, 0x9ef5326091a111adU, 0xa5fed6a9b15138eaU, 0xad583eea42a14ac6U,
	0xb504f333f9de6484U, 0xbd08a39f580c36beU, 0xc5672a115506daddU, 0xce248c151f8480e3U,
	0xd744fccad69d6af4U, 0xe0ccdeec2a94e111U, 0xeac0c6e7dd24392eU, 0xf5257d152486cc2cU,
	UINT64_MAX,
};

/* Returns the index in histogram.buckets of a value of at least 1. */
static inline unsigned histogram_index(uint64_t value)
{
	/* With its highest bit in place, a value is compared as its fraction. */
	unsigned zeros = (unsigned)__builtin_clzll(value);
	uint64_t fraction = value << zeros;
	/* Within 1/32 of the range there is at most one bound. */
	static const uint8_t FIRST[32] = {
		0,  1,	2,  3,	3,  4,	4,  5,	6,  6,	7,  7,	8,  8,	9,  9,
		10, 10, 11, 11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 15, 16, 16,
	};
	unsigned step = FIRST[fraction >> 58 & 31];

	step += fraction > HISTOGRAM_BOUNDS[step];
	/* The number of bounds below the value is the index of the bucket plus 1; that of 1 is -1.
	 */
	return (63 - zeros) * HISTOGRAM_STEPS + step;
}

#endif
