// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import io.jprobe.layout.FireGuardLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Data that all woven methods of this process share with the agent's guard (src/main/c/jni/fire.c):
 * the remaining allowance and the measured cost of firings. One per process.
 */
public final class FireGuard {
  /** An allowance that is never spent: 146 years of CPU time. */
  public static final long UNLIMITED = Long.MAX_VALUE / 2;

  private final ByteBuffer words = Native.fireGuard().order(ByteOrder.nativeOrder());
  private final long clockNanos = Native.clockNanos();

  /**
   * Returns the remaining cost of firings in ns before nothing fires any more; 0 or less once it is
   * spent.
   */
  public long allowance() {
    return words.getLong(FireGuardLayout.ALLOWANCE);
  }

  /** Sets the allowance in ns. Concurrent firings are subtracted from the old or the new one. */
  public void allow(long nanos) {
    words.putLong(FireGuardLayout.ALLOWANCE, nanos);
  }

  /**
   * Sets the assumed cost of a firing in ns, which distinguishes interrupted firings from expensive
   * ones.
   */
  public void setFiringNanos(long nanos) {
    words.putLong(FireGuardLayout.FIRING_NS, nanos);
  }

  /** Returns the number of timed firings. */
  public long samples() {
    return words.getLong(FireGuardLayout.SAMPLES);
  }

  /** Returns the total time of the timed firings in ns. */
  public long sampledNanos() {
    return words.getLong(FireGuardLayout.SAMPLED_NS);
  }

  /** Returns the number of timed firings without a trap. */
  public long directSamples() {
    return words.getLong(FireGuardLayout.DIRECT_SAMPLES);
  }

  /** Returns the total time of these firings in ns, including the clock reads of their methods. */
  public long directSampledNanos() {
    return words.getLong(FireGuardLayout.DIRECT_SAMPLED_NS);
  }

  /** Returns the cost of one reading of the clock in ns. */
  public long clockNanos() {
    return clockNanos;
  }
}
