// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.capture.ProbeKind;

/** What the probes of one method that is listened to have cost, and whether they rest for it. */
final class Ledger {
  /** A method that was throttled is tried again after this long, then after twice as long. */
  private static final long FIRST_REST_NANOS = 10_000_000_000L;

  private static final long LONGEST_REST_NANOS = 320_000_000_000L;

  /** Deciding to hold a call back takes a few readings of memory, and counting it. */
  private static final long DECISION_NANOS = 5;

  /** To find out that nothing may fire any more takes a call of native code, too. */
  private static final long REFUSAL_NANOS = 15;

  final TracedClass traced;
  final TracedMethod method;
  private final long[] fired = new long[ProbeKind.values().length];
  private final long[] filtered = new long[fired.length];
  private final long[] refused = new long[fired.length];

  /** About what the last second has cost: older costs fade. */
  private double recent;

  private long restNanos;
  private long trialBegan;
  private boolean isOnTrial;
  private long trialCost;
  private long throttledUntil;
  private long costWhenThrottled;

  Ledger(TracedClass traced, TracedMethod method) {
    this.traced = traced;
    this.method = method;
    for (ProbeKind kind : method.kinds()) {
      fired[kind.ordinal()] = method.gateWord(Gate.fired(kind));
      filtered[kind.ordinal()] = method.gateWord(Gate.filtered(kind));
      refused[kind.ordinal()] = method.gateWord(Gate.throttled(kind));
    }
  }

  /** What the calls since the last time have cost, in ns. */
  long settle(long elapsed, long hitNanos, long clockNanos) {
    if (method.isRetired()) {
      // Its words may be gone.
      return 0;
    }
    long cost = 0;
    boolean hasEntry = false;
    for (ProbeKind kind : method.kinds()) {
      int i = kind.ordinal();
      long hits = method.gateWord(Gate.fired(kind)) - fired[i];
      long held = method.gateWord(Gate.filtered(kind)) - filtered[i];
      long late = method.gateWord(Gate.throttled(kind)) - refused[i];
      fired[i] += hits;
      filtered[i] += held;
      refused[i] += late;
      hasEntry |= kind == ProbeKind.ENTRY && hits > 0;
      // An entry reads the clock after its trap, an end before; without an entry the start does.
      int readings = kind == ProbeKind.ENTRY || hasEntry ? 1 : 2;
      cost += hits * (hitNanos + readings * clockNanos);
      cost += late * (REFUSAL_NANOS + readings * clockNanos);
      boolean isMeasured = method.gateWord(Gate.LEAST_DURATION) > 0;
      cost += held * (DECISION_NANOS + (isMeasured ? 2 * clockNanos : 0));
    }
    recent = recent * Math.exp(-elapsed / 1e9) + cost;
    trialCost += cost;
    return cost;
  }

  /** About what the last second has cost, in ns. */
  long recent() {
    return (long) recent;
  }

  boolean isThrottled() {
    return method.isThrottled();
  }

  /** Whether it has never been throttled since somebody listens. */
  boolean isFirstOffence() {
    return restNanos == 0;
  }

  void throttle(long now) {
    restNanos = restNanos == 0 ? FIRST_REST_NANOS : Math.min(2 * restNanos, LONGEST_REST_NANOS);
    throttledUntil = now + restNanos;
    costWhenThrottled = recent();
    isOnTrial = false;
    method.setThrottled(true);
  }

  /** What its last second before that has cost, in ns. */
  long costWhenThrottled() {
    return costWhenThrottled;
  }

  long restNanos() {
    return restNanos;
  }

  /** Counts the time for which it has been throttled. */
  void rest(long elapsed) {
    method.setGateWord(Gate.THROTTLED_NANOS, method.gateWord(Gate.THROTTLED_NANOS) + elapsed);
  }

  boolean hasRested(long now) {
    return now - throttledUntil >= 0;
  }

  /** Weaves it again, on trial. */
  void tryAgain(long now) {
    method.setThrottled(false);
    isOnTrial = true;
    trialBegan = now;
    trialCost = 0;
    recent = 0;
  }

  boolean isOnTrial() {
    return isOnTrial;
  }

  /**
   * Whether the trial has failed: it has cost more than it may, and at a rate that cannot last.
   *
   * @param allowed what a trial may cost at least, in ns
   * @param nanosPerSecond what may be spent for long
   */
  boolean hasFailed(long now, long allowed, long nanosPerSecond) {
    return isOnTrial
        && trialCost > allowed
        && trialCost > nanosPerSecond / 1e9 * (now - trialBegan);
  }

  /** A trial that went well for as long as costs are remembered is over. */
  void endTrial(long now) {
    if (isOnTrial && now - trialBegan > CostWindow.SPAN_NANOS) {
      isOnTrial = false;
      restNanos = 0;
    }
  }
}
