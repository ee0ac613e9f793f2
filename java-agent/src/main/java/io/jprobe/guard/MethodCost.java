// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.capture.ProbeKind;
import io.jprobe.catalog.Gate;
import io.jprobe.catalog.TracedClass;
import io.jprobe.catalog.TracedMethod;

/** The cost of the probes of one method that a tracer is attached to, and its throttling. */
final class MethodCost {
  /** Backoff of a method that is throttled for the first time in a while; it doubles each time. */
  private static final long FIRST_BACKOFF_NANOS = 10_000_000_000L;

  private static final long MAX_BACKOFF_NANOS = 320_000_000_000L;

  /**
   * Minimum time for which a method must have fired since its retry for its backoff to start anew.
   * Several methods can pass their trials and exceed the limit together, again and again. Each time
   * the JVM throws the code away that it has compiled for them and for their callers.
   */
  private static final long PROVEN_NANOS = 60_000_000_000L;

  /** Cost of deciding that a call is filtered, and of counting it: a few memory reads. */
  private static final long FILTERED_NANOS = 5;

  /** Cost of a throttled call, which also calls native code. */
  private static final long THROTTLED_NANOS = 15;

  final TracedClass traced;
  final TracedMethod method;
  private final ProbeKind[] kinds;
  private final long[] fired = new long[ProbeKind.values().length];
  private final long[] filtered = new long[fired.length];
  private final long[] throttled = new long[fired.length];
  private final long[] sampled = new long[fired.length];

  /** Firings with a trap that the last update has added. */
  private long newTraps;

  /** The same for firings without a trap. */
  private long newDirects;

  /** Approximate cost of the last second in ns; older costs decay. */
  private double recent;

  private long backoffNanos;
  private long trialStart;
  private boolean isOnTrial;
  private long trialCost;
  private long throttledUntil;
  private long costWhenThrottled;

  MethodCost(TracedClass traced, TracedMethod method) {
    this.traced = traced;
    this.method = method;
    kinds = method.kinds().toArray(new ProbeKind[0]);
    for (ProbeKind kind : kinds) {
      fired[kind.ordinal()] = method.gateWord(Gate.fired(kind));
      filtered[kind.ordinal()] = method.gateWord(Gate.filtered(kind));
      throttled[kind.ordinal()] = method.gateWord(Gate.throttled(kind));
      sampled[kind.ordinal()] = method.gateWord(Gate.sampled(kind));
    }
  }

  /**
   * Adds the cost of the calls since the last update.
   *
   * @param decay what is left of a cost after the time since the last update
   * @param firing cost of one firing
   * @return that cost, in ns
   */
  long update(double decay, FiringCost firing) {
    newTraps = 0;
    newDirects = 0;
    if (method.isRetired()) {
      // Its gate may be unmapped.
      return 0;
    }
    long clockNanos = firing.clockNanos();
    long cost = 0;
    boolean hasEntry = false;
    for (ProbeKind kind : kinds) {
      int i = kind.ordinal();
      long newlyFired = method.gateWord(Gate.fired(kind)) - fired[i];
      long newlyFiltered = method.gateWord(Gate.filtered(kind)) - filtered[i];
      long newlyThrottled = method.gateWord(Gate.throttled(kind)) - throttled[i];
      long newlySampled = method.gateWord(Gate.sampled(kind)) - sampled[i];
      fired[i] += newlyFired;
      filtered[i] += newlyFiltered;
      throttled[i] += newlyThrottled;
      sampled[i] += newlySampled;
      newTraps += newlyFired;
      newDirects += newlySampled;
      hasEntry |= kind == ProbeKind.ENTRY && newlyFired > 0;
      // An entry probe reads the clock after its trap, a return or throw probe before. Without an
      // entry probe, the start of the call reads the clock.
      int reads = kind == ProbeKind.ENTRY || hasEntry ? 1 : 2;
      cost += newlyFired * (firing.nanos() + reads * clockNanos);
      cost += newlySampled * firing.directNanos();
      cost += newlyThrottled * (THROTTLED_NANOS + reads * clockNanos);
      boolean isTimed = method.gateWord(Gate.LEAST_DURATION) > 0;
      cost += newlyFiltered * (FILTERED_NANOS + (isTimed ? 2 * clockNanos : 0));
    }
    recent = recent * decay + cost;
    trialCost += cost;
    return cost;
  }

  /** Returns the number of firings with a trap that the last update has added. */
  long newTraps() {
    return newTraps;
  }

  /** Returns the number of firings without a trap that the last update has added. */
  long newDirects() {
    return newDirects;
  }

  /** Returns the approximate cost of the last second, in ns. */
  long recent() {
    return (long) recent;
  }

  boolean isThrottled() {
    return method.isThrottled();
  }

  /** Returns true if the method has not been throttled since a tracer attached, or for long. */
  boolean isFirstThrottling(long now) {
    return backoffNanos == 0 || now - trialStart > Math.max(PROVEN_NANOS, backoffNanos);
  }

  /** Throttles the method, and starts its backoff. */
  void throttle(long now) {
    backoffNanos =
        isFirstThrottling(now)
            ? FIRST_BACKOFF_NANOS
            : Math.min(2 * backoffNanos, MAX_BACKOFF_NANOS);
    throttledUntil = now + backoffNanos;
    costWhenThrottled = recent();
    isOnTrial = false;
    method.setThrottled(true);
  }

  /** Returns the cost of the last second before the method was throttled, in ns. */
  long costWhenThrottled() {
    return costWhenThrottled;
  }

  long backoffNanos() {
    return backoffNanos;
  }

  /** Adds to the time during which the method was throttled, in ns. */
  void addThrottledTime(long elapsed) {
    method.setGateWord(Gate.THROTTLED_NANOS, method.gateWord(Gate.THROTTLED_NANOS) + elapsed);
  }

  boolean isBackoffExpired(long now) {
    return now - throttledUntil >= 0;
  }

  /** Lets the method be woven again, on trial. */
  void retry(long now) {
    method.setThrottled(false);
    isOnTrial = true;
    trialStart = now;
    trialCost = 0;
    recent = 0;
  }

  /**
   * Returns true if the trial has failed: its total cost and its rate are both too high.
   *
   * @param allowed cost that every trial may reach, in ns
   * @param nanosPerSecond sustainable cost
   */
  boolean hasFailedTrial(long now, long allowed, long nanosPerSecond) {
    return isOnTrial
        && trialCost > allowed
        && trialCost > nanosPerSecond / 1e9 * (now - trialStart);
  }

  /**
   * Ends the trial if it has not failed within the span of the cost window. Returns true if it
   * ends.
   */
  boolean hasPassedTrial(long now) {
    if (now - trialStart <= CostWindow.SPAN_NANOS) {
      return false;
    }
    isOnTrial = false;
    return true;
  }
}
