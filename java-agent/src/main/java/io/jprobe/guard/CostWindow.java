// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/** CPU time of the last five seconds, in ns, kept by slices of a tenth of a second. */
final class CostWindow {
  static final long SPAN_NANOS = 5_000_000_000L;
  static final long SLICE_NANOS = 100_000_000L;

  private static final int SLICES_OF_A_MOMENT = 3;
  private static final int SLICES_OF_A_SECOND = (int) (1_000_000_000L / SLICE_NANOS);

  // One more than fit the span: of the oldest a part is still within it, and all of it counts.
  private final long[] slices = new long[(int) (SPAN_NANOS / SLICE_NANOS) + 1];
  private long latest = Long.MIN_VALUE;

  void add(long now, long nanos) {
    advance(now);
    slices[index(latest)] += nanos;
  }

  /** Of what took from one time to another: a share to each slice that has begun in between. */
  void spread(long since, long now, long nanos) {
    long first = Math.max(Math.floorDiv(since, SLICE_NANOS) + 1, latest + 1);
    advance(now);
    long count = Math.max(latest - first + 1, 1);
    // Of a longer time than the span, the older part is forgotten.
    for (long slice = Math.max(first, latest - slices.length + 1); slice < latest; slice++) {
      slices[index(slice)] += nanos / count;
    }
    slices[index(latest)] += nanos - nanos / count * (count - 1);
  }

  /** In the last five seconds, or up to a slice less. */
  long spentAtLeast(long now) {
    return sum(now, slices.length - 1);
  }

  /** In the last five seconds, and up to a slice more. */
  long spent(long now) {
    return sum(now, slices.length);
  }

  /** In the last second, and up to a slice more. */
  long spentInLastSecond(long now) {
    return sum(now, SLICES_OF_A_SECOND + 1);
  }

  /** In the last 0.2 to 0.3 seconds: two periods of a CPU quota. */
  long spentJustNow(long now) {
    return sum(now, SLICES_OF_A_MOMENT);
  }

  /** What is so much in a second, in that moment. */
  static long perMoment(long perSecond) {
    return perSecond / SLICES_OF_A_SECOND * (SLICES_OF_A_MOMENT - 1);
  }

  private long sum(long now, int count) {
    advance(now);
    long sum = 0;
    for (int i = 0; i < count; i++) {
      sum += slices[index(latest - i)];
    }
    return sum;
  }

  /** Empties the slices that have begun since. */
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
