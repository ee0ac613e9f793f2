// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;

/**
 * The words of a gate (manifest.proto), by which java.jprobe.Fire decides, before a probe fires,
 * whether it should, and where calls are counted. The first three may be changed at any time, woven
 * or not.
 */
public final class Gate {
  /** In ns; of calls whose return and throw probes fire. */
  public static final int LEAST_DURATION = 0;

  /** Every how-many-th call fires. */
  public static final int EVERY = 1;

  /** How many calls fire in a second; 0 is no limit. */
  public static final int LIMIT = 2;

  /** For how long, in ns, the guard had the method unwoven while somebody listened. */
  public static final int THROTTLED_NANOS = 5;

  // A probe, of which there is one of each kind, begins with the address of its stub.
  private static final int FIRST_PROBE = 8;
  private static final int PROBE_WORDS = 4;
  private static final int FIRED = 1;
  private static final int FILTERED = 2;
  private static final int THROTTLED = 3;

  /** Fire counts to it in 24 bits. */
  public static final long MAX_LIMIT = (1 << 24) - 1;

  private Gate() {}

  /** The word with which a probe begins: the address of its stub. */
  public static int probe(ProbeKind kind) {
    return FIRST_PROBE + PROBE_WORDS * kind.ordinal();
  }

  /** Hits of the probe. */
  public static int fired(ProbeKind kind) {
    return probe(kind) + FIRED;
  }

  /** Calls that a condition or the gate held back from the probe. */
  public static int filtered(ProbeKind kind) {
    return probe(kind) + FILTERED;
  }

  /** Calls that came to the probe when the allowance was used up. */
  public static int throttled(ProbeKind kind) {
    return probe(kind) + THROTTLED;
  }
}
