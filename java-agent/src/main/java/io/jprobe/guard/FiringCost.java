// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.stub.FireGuard;

/**
 * The cost of one firing in ns, with a trap and without, measured on the firings that woven methods
 * time.
 */
final class FiringCost {
  /** Cost that is assumed until firings have been timed. */
  private static final long ASSUMED_NANOS = 1_000;

  /** The same for firings without a trap, clock reads included. */
  private static final long ASSUMED_DIRECT_NANOS = 60;

  /** Minimum number of new samples for a new estimate. */
  private static final int MIN_SAMPLES = 16;

  private static final class Estimate {
    long nanos;
    private long samples;
    private long sampledNanos;

    Estimate(long assumedNanos, long samples, long sampledNanos) {
      this.nanos = assumedNanos;
      this.samples = samples;
      this.sampledNanos = sampledNanos;
    }

    /** Makes a new estimate if there are enough new samples. Returns true if it has. */
    boolean update(long samplesNow, long sampledNanosNow) {
      long fresh = samplesNow - samples;
      if (fresh < MIN_SAMPLES) {
        return false;
      }
      nanos = Math.max((sampledNanosNow - sampledNanos) / fresh, 1);
      samples = samplesNow;
      sampledNanos = sampledNanosNow;
      return true;
    }
  }

  private final FireGuard fires;
  private final Estimate trap;
  private final Estimate direct;

  FiringCost(FireGuard fires) {
    this.fires = fires;
    this.trap = new Estimate(ASSUMED_NANOS, fires.samples(), fires.sampledNanos());
    this.direct =
        new Estimate(ASSUMED_DIRECT_NANOS, fires.directSamples(), fires.directSampledNanos());
    fires.setFiringNanos(trap.nanos);
  }

  /** Returns the cost of a firing with a trap, without the clock reads of its method. */
  long nanos() {
    return trap.nanos;
  }

  /** Returns the cost of a firing without a trap, with the clock reads of its method. */
  long directNanos() {
    return direct.nanos;
  }

  /** Returns the cost of one clock read. */
  long clockNanos() {
    return fires.clockNanos();
  }

  /** Makes new estimates if there are enough new samples, and passes them to the woven methods. */
  void update() {
    if (trap.update(fires.samples(), fires.sampledNanos())) {
      fires.setFiringNanos(trap.nanos);
    }
    direct.update(fires.directSamples(), fires.directSampledNanos());
  }
}
