// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

/** CPU time of the last five seconds, in ns, kept in slices of 0.1 s. */
final class CostWindow {
  static final long SPAN_NANOS = 5_000_000_000L;
  static final long SLICE_NANOS = 100_000_000L;

  private static final int SLICES_PER_MOMENT = 3;
  private static final int SLICES_PER_SECOND = (int) (1_000_000_000L / SLICE_NANOS);

  // One slice more than the span: part of the oldest slice is still within the span, and the whole
  // slice counts.
  private final long[] slices = new long[(int) (SPAN_NANOS / SLICE_NANOS) + 1];
  private long latest = Long.MIN_VALUE;

  void add(long now, long nanos) {
    advance(now);
    slices[index(latest)] += nanos;
  }

  /** Adds CPU time that was used between two times, in equal shares to the slices begun since. */
  void spread(long since, long now, long nanos) {
    long first = Math.max(Math.floorDiv(since, SLICE_NANOS) + 1, latest + 1);
    advance(now);
    long count = Math.max(latest - first + 1, 1);
    // If the time is longer than the span, the older part is dropped.
    for (long slice = Math.max(first, latest - slices.length + 1); slice < latest; slice++) {
      slices[index(slice)] += nanos / count;
    }
    slices[index(latest)] += nanos - nanos / count * (count - 1);
  }

  /** Returns the sum of the last five seconds, or of up to one slice less. */
  long spentAtLeast(long now) {
    return sum(now, slices.length - 1);
  }

  /** Returns the sum of the last five seconds, plus up to one slice. */
  long spent(long now) {
    return sum(now, slices.length);
  }

  /** Returns the sum of the last second, plus up to one slice. */
  long spentInLastSecond(long now) {
    return sum(now, SLICES_PER_SECOND + 1);
  }

  /** Returns the sum of the last 0.2 to 0.3 seconds: two periods of a CPU quota. */
  long spentJustNow(long now) {
    return sum(now, SLICES_PER_MOMENT);
  }

  /** Converts CPU time per second into CPU time per span of {@link #spentJustNow}. */
  static long perMoment(long perSecond) {
    return perSecond / SLICES_PER_SECOND * (SLICES_PER_MOMENT - 1);
  }

  private long sum(long now, int count) {
    advance(now);
    long sum = 0;
    for (int i = 0; i < count; i++) {
      sum += slices[index(latest - i)];
    }
    return sum;
  }

  /** Clears the slices that have begun since the last call. */
  private void advance(long now) {
    long slice = Math.floorDiv(now, SLICE_NANOS);
    long first = Math.max(latest + 1, slice - slices.length + 1);
    for (long fresh = first; fresh <= slice; fresh++) {
      slices[index(fresh)] = 0;
    }
    latest = Math.max(latest, slice);
  }

  private int index(long slice) {
    return (int) Math.floorMod(slice, (long) slices.length);
  }
}
