// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.stub.FireGuard;

/** The cost of one firing in ns, measured on the firings that woven methods time. */
final class FiringCost {
  /** Cost that is assumed until firings have been timed. */
  private static final long ASSUMED_NANOS = 1_000;

  /** Minimum number of new samples for a new estimate. */
  private static final int MIN_SAMPLES = 16;

  private final FireGuard fires;
  private long nanos = ASSUMED_NANOS;
  private long samples;
  private long sampledNanos;

  FiringCost(FireGuard fires) {
    this.fires = fires;
    this.samples = fires.samples();
    this.sampledNanos = fires.sampledNanos();
    fires.setFiringNanos(nanos);
  }

  long nanos() {
    return nanos;
  }

  /** Makes a new estimate if there are enough new samples, and passes it to the woven methods. */
  void update() {
    long fresh = fires.samples() - samples;
    if (fresh >= MIN_SAMPLES) {
      long total = fires.sampledNanos();
      nanos = Math.max((total - sampledNanos) / fresh, 1);
      fires.setFiringNanos(nanos);
      samples += fresh;
      sampledNanos = total;
    }
  }
}
