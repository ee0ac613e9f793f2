// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

/**
 * The words of a gate (manifest.proto), by which java.jprobe.Fire decides, before a probe fires,
 * whether it should. The first three may be changed at any time, woven or not.
 */
public final class Gate {
  /** In ns; of calls whose return and throw probes fire. */
  public static final int LEAST_DURATION = 0;

  /** Every how-many-th call fires. */
  public static final int EVERY = 1;

  /** How many calls fire in a second; 0 is no limit. */
  public static final int LIMIT = 2;

  /** What was held back from the entry probe; return and throw follow. */
  public static final int FILTERED = 5;

  /** Fire counts to it in 24 bits. */
  public static final long MAX_LIMIT = (1 << 24) - 1;

  private Gate() {}
}
