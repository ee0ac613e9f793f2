// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;
import io.jprobe.layout.GateLayout;
import io.jprobe.layout.GateProbeLayout;
import io.jprobe.layout.GateWindowLayout;

/**
 * Offsets of the words of a gate (layout/gate.toml). java.jprobe.Fire uses the words to decide
 * whether a probe fires, and to count calls.
 */
public final class Gate {
  /** Minimum duration in ns of calls whose return and throw probes fire. */
  public static final int LEAST_DURATION = GateLayout.LEAST_DURATION;

  /** Sampling interval: every n-th call fires. */
  public static final int EVERY = GateLayout.EVERY;

  /** Maximum number of calls per second that fire; 0 for no limit. */
  public static final int LIMIT = GateLayout.LIMIT;

  /** Time in ns during which the method was throttled while a tracer was attached. */
  public static final int THROTTLED_NANOS = GateLayout.THROTTLED_NANOS;

  /** Maximum of {@link #LIMIT}: Fire counts the calls of a second in 24 bits. */
  public static final long MAX_LIMIT = GateWindowLayout.CALLS_MASK;

  private static final int[] SETTINGS = {LEAST_DURATION, EVERY, LIMIT};

  private Gate() {}

  /** Returns the offsets of the words that a selector sets, and that may be changed at any time. */
  public static int[] settings() {
    return SETTINGS.clone();
  }

  /** Returns the offset of a probe. */
  public static int probe(ProbeKind kind) {
    return GateLayout.PROBES + GateProbeLayout.SIZE * (kind.number - ProbeKind.ENTRY.number);
  }

  /** Returns the word that holds the address of the probe's stub. */
  public static int stub(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.STUB;
  }

  /** Returns the word that counts the firings of the probe. */
  public static int fired(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.FIRED;
  }

  /** Returns the word that counts the calls that a condition or the gate filtered. */
  public static int filtered(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.FILTERED;
  }

  /** Returns the word that counts the calls throttled because the allowance was used up. */
  public static int throttled(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.THROTTLED;
  }

  /** Returns the word that holds the probe's {@link Sinks}; 32 bits. */
  public static int sinks(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.SINKS;
  }

  /** Returns the word that holds the number of the probe in records; 32 bits. */
  public static int number(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.NUMBER;
  }

  /** Returns the word that holds 1 plus the number of the probe's histogram, or 0; 32 bits. */
  public static int histogram(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.HISTOGRAM;
  }

  /** Returns the word that holds the mask of the probe's words that are strings; 32 bits. */
  public static int strings(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.STRINGS;
  }

  /** Returns the word that counts the firings of the probe without a trap, for the guard. */
  public static int sampled(ProbeKind kind) {
    return probe(kind) + GateProbeLayout.SAMPLED;
  }
}
