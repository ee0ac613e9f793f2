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

    /** True if {@link #nanos} was measured, not assumed. */
    boolean isMeasured;

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
      isMeasured = true;
      return true;
    }
  }

  private final FireGuard fires;
  private final Estimate trap;
  private final Estimate direct;

  // Firings of the last seconds: older ones decay.
  private double trapFirings;
  private double directFirings;

  /** See {@link #average}. */
  private long average;

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

  /**
   * Adds the firings since the last update to those that {@link #average} weighs.
   *
   * @param decay what is left of the weight of earlier firings
   */
  void count(double decay, long traps, long directs) {
    trapFirings = trapFirings * decay + traps;
    directFirings = directFirings * decay + directs;
    updateAverage();
  }

  private void updateAverage() {
    double traps = trap.isMeasured ? trapFirings : 0;
    double directs = direct.isMeasured ? directFirings : 0;
    if (traps + directs >= 1) {
      average = Math.round((traps * trap.nanos + directs * direct.nanos) / (traps + directs));
    }
  }

  /**
   * Returns the average cost of the firings of the last seconds, of both kinds as far as it was
   * measured; once nothing fires any more, that of the last ones. Returns 0 if nothing was
   * measured.
   */
  long average() {
    return average;
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
