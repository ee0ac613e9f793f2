// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.Cpus;

/** The CPU time that the program can get, and has got lately, as it was last looked at. */
final class CpuTime {
  /** Reading quotas takes a tenth of a millisecond. */
  private static final long PERIOD_NANOS = 1_000_000_000L;

  /** Where nobody listens, only those who ask for the limit learn of it. */
  private static final long CALM_PERIOD_NANOS = 10 * PERIOD_NANOS;

  private final Cpus cpus;
  private final CostWindow window = new CostWindow();
  private boolean isKnown;
  private long available = Cpus.UNLIMITED;
  private long readAt;
  private long used;
  private long notedAt;

  CpuTime(Cpus cpus) {
    this.cpus = cpus;
  }

  /** Notes what has been used since the last time, and reads anew what can be got, if it is due. */
  void look(long now, boolean isAwake) {
    if (!isKnown || now - readAt >= (isAwake ? PERIOD_NANOS : CALM_PERIOD_NANOS)) {
      readAt = now;
      available = cpus.available();
    }
    long total = cpus.used();
    if (isKnown) {
      window.spread(notedAt, now, Math.max(total - used, 0));
    }
    isKnown = true;
    used = total;
    notedAt = now;
  }

  /** In a second, in ns; {@link Cpus#UNLIMITED} where that is not known. */
  long available() {
    return available;
  }

  /** In the last five seconds, in ns. */
  long used(long now) {
    return window.spentAtLeast(now);
  }

  /** In the last moment, in ns: see {@link CostWindow#spentJustNow}. */
  long usedJustNow(long now) {
    return window.spentJustNow(now);
  }
}
