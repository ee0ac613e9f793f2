// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import io.jprobe.layout.FireGuardLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * What all woven methods of this process share with whoever guards it (src/main/c/jni/fire.c): what
 * hits may still cost, and what a hit has cost lately. One in each process.
 */
public final class FireGuard {
  /** As good as no limit: the CPU time of a hundred years. */
  public static final long UNLIMITED = Long.MAX_VALUE / 2;

  private final ByteBuffer words = Native.fireGuard().order(ByteOrder.nativeOrder());
  private final long clockNanos = Native.clockNanos();

  /**
   * In ns, what hits may cost before nothing fires any more; 0 or less when it has come to that.
   */
  public long allowance() {
    return words.getLong(FireGuardLayout.ALLOWANCE);
  }

  /** What hits cost meanwhile is taken from the one or from the other. */
  public void allow(long nanos) {
    words.putLong(FireGuardLayout.ALLOWANCE, nanos);
  }

  /** By what a hit is taken to cost, one that was interrupted is told from one that is dear. */
  public void setHitNanos(long nanos) {
    words.putLong(FireGuardLayout.FIRING_NS, nanos);
  }

  /** How many hits have been timed. */
  public long samples() {
    return words.getLong(FireGuardLayout.SAMPLES);
  }

  /** What the timed hits have taken, in ns, together. */
  public long sampledNanos() {
    return words.getLong(FireGuardLayout.SAMPLED_NS);
  }

  /** What one reading of the clock costs, in ns. */
  public long clockNanos() {
    return clockNanos;
  }
}
