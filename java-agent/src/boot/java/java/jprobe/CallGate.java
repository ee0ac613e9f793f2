// SPDX-License-Identifier: Apache-2.0
package java.jprobe;

import io.jprobe.layout.GateLayout;
import io.jprobe.layout.GateProbeLayout;
import io.jprobe.layout.GateWindowLayout;
import io.jprobe.layout.SinksLayout;

/**
 * Decides before any trap whether a call fires. The decision uses the method's <em>gate</em>: words
 * in its stub library (see layout/gate.toml) that can change at run time and that count firings and
 * suppressed calls.
 */
abstract class CallGate extends PathEvaluation {
  /** Stands for the start or the duration of a call that must not fire. */
  public static final long SUPPRESSED = Long.MIN_VALUE;

  /** The sinks that take more than the duration. */
  private static final int PASSES_VALUES =
      1 << SinksLayout.TRAP_SHIFT | 1 << SinksLayout.EVENT_SHIFT;

  private static final boolean IS_CLOCK_FAST = Fire.isClockFast();

  CallGate() {}

  /** Returns CLOCK_MONOTONIC in ns, at most 1 us off. */
  public static long now() {
    return IS_CLOCK_FAST ? Fire.clock() : System.nanoTime();
  }

  // ---- start of a call ----

  /**
   * Returns the start of a call in ns, or {@link #SUPPRESSED}. For methods whose entry probe is not
   * attached.
   */
  public static long start(long gate) {
    return admitsAtStart(gate) ? now() : SUPPRESSED;
  }

  /** Returns {@link #SUPPRESSED}, or any other number; {@code entry} then returns the start. */
  public static long begin(long gate) {
    return admitsAtStart(gate) ? 0 : SUPPRESSED;
  }

  /**
   * Returns true if the call is admitted at its start. With a minimum duration, sampling and
   * limiting apply at the end, to calls that reach it.
   */
  private static boolean admitsAtStart(long gate) {
    return !isEvaluating()
        && (UNSAFE.getLongOpaque(null, gate + GateLayout.LEAST_DURATION) > 0 || isPicked(gate));
  }

  /** Returns true if sampling (every-nth) and the limit per second admit the call. */
  private static boolean isPicked(long gate) {
    long every = UNSAFE.getLongOpaque(null, gate + GateLayout.EVERY);
    if (every > 1 && UNSAFE.getAndAddLong(null, gate + GateLayout.SEEN, 1) % every != 0) {
      return false;
    }
    long limit = UNSAFE.getLongOpaque(null, gate + GateLayout.LIMIT);
    return limit == 0 || isWithin(limit, gate + GateLayout.WINDOW);
  }

  private static boolean isWithin(long limit, long window) {
    long second = System.nanoTime() / 1_000_000_000L;
    while (true) {
      long before = UNSAFE.getLongVolatile(null, window);
      long last = before >>> GateWindowLayout.SECOND_SHIFT & GateWindowLayout.SECOND_MASK;
      long now = last == second ? before : second << GateWindowLayout.SECOND_SHIFT;
      if ((now >>> GateWindowLayout.CALLS_SHIFT & GateWindowLayout.CALLS_MASK) >= limit) {
        return false;
      }
      if (UNSAFE.compareAndSetLong(
          null, window, before, now + (1L << GateWindowLayout.CALLS_SHIFT))) {
        return true;
      }
    }
  }

  // ---- end of a call ----

  /**
   * Returns the start of a call as if the time since {@code begun} had not passed: a probe of
   * another selection fired, which does not belong to the call's duration.
   */
  public static long skip(long start, long begun) {
    return start == SUPPRESSED ? SUPPRESSED : start + now() - begun;
  }

  /** Returns the ns since the start, or {@link #SUPPRESSED} if that was the start. */
  public static long elapsed(long start) {
    return start == SUPPRESSED ? SUPPRESSED : now() - start;
  }

  /**
   * Returns true if the end of a call is decided and {@link Fire#leave} is the fastest way to fire.
   */
  static boolean leavesAtOnce(long gate, long start) {
    return IS_CLOCK_FAST
        && start != SUPPRESSED
        && UNSAFE.getLongOpaque(null, gate + GateLayout.LEAST_DURATION) <= 0;
  }

  /** Returns true if a firing of the probe needs the captured values. */
  static boolean passesValues(long probe) {
    return (UNSAFE.getInt(null, probe + GateProbeLayout.SINKS) & PASSES_VALUES) != 0;
  }

  /** Returns true if a call that was admitted at its start fires at its end. */
  private static boolean admits(long elapsed, long gate) {
    long least = UNSAFE.getLongOpaque(null, gate + GateLayout.LEAST_DURATION);
    return elapsed != SUPPRESSED && (least <= 0 || elapsed >= least && isPicked(gate));
  }

  /** Returns true if a call fires at its end for which nothing was decided at its start. */
  public static boolean admitsAtEnd(long elapsed, long gate) {
    return elapsed != SUPPRESSED
        && !isEvaluating()
        && elapsed >= UNSAFE.getLongOpaque(null, gate + GateLayout.LEAST_DURATION)
        && isPicked(gate);
  }

  /**
   * Counts a filtered call.
   *
   * @param probe the address of the probe in the gate
   */
  public static void suppress(long probe) {
    UNSAFE.getAndAddLong(null, probe + GateProbeLayout.FILTERED, 1);
  }

  /**
   * Returns the ns since the start, or {@link #SUPPRESSED} for a call that does not fire, which it
   * counts.
   *
   * @param probe the offset of the probe in the gate
   */
  public static long elapsed(long start, long gate, int probe) {
    long elapsed = elapsed(start);
    if (admits(elapsed, gate)) {
      return elapsed;
    }
    suppress(gate + probe);
    return SUPPRESSED;
  }
}
