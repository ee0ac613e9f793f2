// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.stub.Cpus;

/** CPU time available to the program and used by it, as of the last poll. */
final class CpuTime {
  /** Polling interval of the quotas. Reading them costs 0.1 ms. */
  private static final long PERIOD_NANOS = 1_000_000_000L;

  /** The interval while no tracer is attached: then only clients that query the limit see it. */
  private static final long IDLE_PERIOD_NANOS = 10 * PERIOD_NANOS;

  private final Cpus cpus;
  private final CostWindow window = new CostWindow();
  private boolean isKnown;
  private long available = Cpus.UNLIMITED;
  private long readAt;
  private long used;
  private long polledAt;

  CpuTime(Cpus cpus) {
    this.cpus = cpus;
  }

  /** Records the CPU time used since the last poll, and rereads the available one when due. */
  void poll(long now, boolean isAwake) {
    if (!isKnown || now - readAt >= (isAwake ? PERIOD_NANOS : IDLE_PERIOD_NANOS)) {
      readAt = now;
      available = cpus.available();
    }
    long total = cpus.used();
    if (isKnown) {
      window.spread(polledAt, now, Math.max(total - used, 0));
    } else {
      assumeEarlierUse(now, total);
    }
    isKnown = true;
    used = total;
    polledAt = now;
  }

  /**
   * Takes the average since the process was started for the time before the first poll. Otherwise a
   * busy program would count as idle when the agent is loaded into it.
   */
  private void assumeEarlierUse(long now, long total) {
    long age = cpus.age();
    if (age > 0) {
      long span = Math.min(age, CostWindow.SPAN_NANOS);
      window.spread(now - span, now, (long) ((double) total / age * span));
    }
  }

  /** Returns the available CPU time in ns per second; {@link Cpus#UNLIMITED} if unknown. */
  long available() {
    return available;
  }

  /** Returns the CPU time used in the last five seconds, in ns. */
  long used(long now) {
    return window.spentAtLeast(now);
  }

  /** Returns the CPU time used in the span of {@link CostWindow#spentJustNow}, in ns. */
  long usedJustNow(long now) {
    return window.spentJustNow(now);
  }
}
