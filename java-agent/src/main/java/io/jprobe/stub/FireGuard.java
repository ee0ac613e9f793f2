// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * What all woven methods of this process share with whoever guards it (src/main/c/jni/fire.c): what
 * hits may still cost, and what a hit has cost lately. One in each process.
 */
public final class FireGuard {
  /** As good as no limit: the CPU time of a hundred years. */
  public static final long UNLIMITED = Long.MAX_VALUE / 2;

  private static final int ALLOWANCE = 0;
  private static final int SAMPLES = Long.BYTES;
  private static final int SAMPLED_NANOS = 2 * Long.BYTES;
  private static final int HIT_NANOS = 3 * Long.BYTES;

  private final ByteBuffer words = Native.fireGuard().order(ByteOrder.nativeOrder());
  private final long clockNanos = Native.clockNanos();

  /**
   * In ns, what hits may cost before nothing fires any more; 0 or less when it has come to that.
   */
  public long allowance() {
    return words.getLong(ALLOWANCE);
  }

  /** What hits cost meanwhile is taken from the one or from the other. */
  public void allow(long nanos) {
    words.putLong(ALLOWANCE, nanos);
  }

  /** By what a hit is taken to cost, one that was interrupted is told from one that is dear. */
  public void setHitNanos(long nanos) {
    words.putLong(HIT_NANOS, nanos);
  }

  /** How many hits have been timed. */
  public long samples() {
    return words.getLong(SAMPLES);
  }

  /** What the timed hits have taken, in ns, together. */
  public long sampledNanos() {
    return words.getLong(SAMPLED_NANOS);
  }

  /** What one reading of the clock costs, in ns. */
  public long clockNanos() {
    return clockNanos;
  }
}
