// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;

/**
 * The words of a gate (manifest.proto). java.jprobe.Fire uses them to decide whether a probe fires,
 * and to count calls. The first three may be changed at any time, woven or not.
 */
public final class Gate {
  /** Minimum duration in ns of calls whose return and throw probes fire. */
  public static final int LEAST_DURATION = 0;

  /** Sampling interval: every n-th call fires. */
  public static final int EVERY = 1;

  /** Maximum number of calls per second that fire; 0 for no limit. */
  public static final int LIMIT = 2;

  /** Time in ns during which the method was throttled while a tracer was attached. */
  public static final int THROTTLED_NANOS = 5;

  // There is one probe of each kind; its first word is the address of its stub.
  private static final int FIRST_PROBE = 8;
  private static final int PROBE_WORDS = 4;
  private static final int FIRED = 1;
  private static final int FILTERED = 2;
  private static final int THROTTLED = 3;

  /** Maximum of {@link #LIMIT}: Fire counts the calls of a second in 24 bits. */
  public static final long MAX_LIMIT = (1 << 24) - 1;

  private Gate() {}

  /** Returns the first word of a probe: the address of its stub. */
  public static int probe(ProbeKind kind) {
    return FIRST_PROBE + PROBE_WORDS * kind.ordinal();
  }

  /** Returns the word that counts the firings of the probe. */
  public static int fired(ProbeKind kind) {
    return probe(kind) + FIRED;
  }

  /** Returns the word that counts the calls that a condition or the gate filtered. */
  public static int filtered(ProbeKind kind) {
    return probe(kind) + FILTERED;
  }

  /** Returns the word that counts the calls throttled because the allowance was used up. */
  public static int throttled(ProbeKind kind) {
    return probe(kind) + THROTTLED;
  }
}
