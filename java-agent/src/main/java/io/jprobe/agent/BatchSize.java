// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/**
 * Number of classes per retransformation. Each retransformation is one safepoint, in which HotSpot
 * also visits all loaded classes. That takes as long for one class as for a thousand: 20 ms with
 * 20,000 loaded classes, and another 0.05 ms for each changed class. Large batches stop the program
 * for less time in total, and small ones for less time at once. The size grows until a batch
 * reaches a limit. For the watcher thread only.
 */
final class BatchSize {
  /** Size of the first batches. */
  static final int MIN = 64;

  /** Limits the memory for new class files, which all classes of a batch need at the same time. */
  static final int MAX = 1024;

  private final Limit safepoint = new Limit(40_000_000L);

  /** All other work of the watcher waits for the end of a batch. */
  private final Limit duration = new Limit(200_000_000L);

  private int classes = MIN;

  /**
   * Maximum planned time in ns. If even the smallest batch takes long, because the program has very
   * many classes or the host is busy, further small batches would not help: the limit is twice the
   * time of the fastest batch, so that in total at most twice the unavoidable time is used.
   */
  private static final class Limit {
    private final long nanos;
    private long least = Long.MAX_VALUE / 2;

    Limit(long nanos) {
      this.nanos = nanos;
    }

    /** Returns the factor by which the size of a batch that took this time may grow. */
    double room(long taken) {
      least = Math.min(least, Math.max(1, taken));
      return (double) Math.max(nanos, 2 * least) / Math.max(1, taken);
    }

    void reset() {
      least = Long.MAX_VALUE / 2;
    }
  }

  int classes() {
    return classes;
  }

  /** Adapts the size to a retransformation of this number of classes that has succeeded. */
  void adapt(int changed, Retransformation done) {
    adapt(changed, done.nanos(), done.safepointNanos());
  }

  void adapt(int changed, long nanos, long safepointNanos) {
    double room = Math.min(safepoint.room(safepointNanos), duration.room(nanos));
    // A single measurement is a guess, above all on a busy host.
    double fitting = changed * Math.max(0.5, Math.min(room, 2));
    if (room < 1 || fitting > classes) {
      classes = (int) Math.max(MIN, Math.min(MAX, fitting));
    }
  }

  /** Starts again: there is new work, or a class or the memory has made a batch fail. */
  void reset() {
    classes = MIN;
    safepoint.reset();
    duration.reset();
  }
}
