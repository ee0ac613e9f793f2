// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import io.jprobe.stub.Cpus;
import io.jprobe.stub.FireGuard;
import java.nio.ByteBuffer;

/**
 * The allowed cost of all probes over any five seconds. It is the lowest of three shares: of one
 * core, of the available CPU time, and of the CPU time that the program has used ({@link Limits},
 * {@link CpuTime}).
 */
final class Budget {
  private static final long SECOND_NANOS = 1_000_000_000L;

  /** One percent of a core, in ns per second. */
  static final long PERCENT_NANOS = SECOND_NANOS / 100;

  /** Length of the cost window in seconds. */
  private static final long SECONDS = CostWindow.SPAN_NANOS / SECOND_NANOS;

  /** Part of the budget that is reserved for weaving, unweaving and recompilation. */
  private static final long WEAVING_NANOS = 50_000_000L;

  /** Cost of unweaving a method and recompiling it. */
  private static final long UNWEAVING_NANOS = 20_000_000L;

  /** Percentage of a second by which the guard may be late: two periods of the watcher. */
  private static final long LATE_PERCENT = 8;

  /** A program is busy if it uses more than one part in this many of its available CPU time. */
  private static final int BUSY_PART = 6;

  private final Limits limits;

  /** Null until the first poll: nothing is read from the machine before main. */
  private CpuTime cpu;

  private int percent;
  private long limit;
  private long share;
  private long total;
  private long rate;

  /**
   * @param cpu the source of CPU times; null for the machine's own
   */
  Budget(Limits limits, CpuTime cpu) {
    this.limits = limits;
    this.cpu = cpu;
  }

  void pollCpu(long now, boolean isAwake) {
    if (cpu == null) {
      cpu = new CpuTime(new Cpus(""));
    }
    cpu.poll(now, isAwake);
  }

  /** Updates the limit from the semaphores of the limit probes. */
  void updateLimit(ByteBuffer semaphores) {
    percent = limits.percent(semaphores);
    limit = Limits.nanosPerSecond(percent, available());
  }

  /** Updates the budget from the limit and from the CPU time used until now. */
  void update(long now) {
    share = Limits.shareOf(percent, cpu.used(now), CostWindow.SPAN_NANOS);
    total = Math.min(limit * SECONDS - Math.min(limit, WEAVING_NANOS), share);
    rate = Math.min(limit, share / SECONDS);
  }

  /** Sets the rate to the limit; used before the first poll, when no CPU times are known. */
  void assumeLimit() {
    rate = limit;
  }

  /** Returns the limit in force in percent of one core, as requested; 0 for no limit. */
  int percent() {
    return percent;
  }

  /** Returns the limit in ns per second, given the available CPU time; 0 for no limit. */
  long limit() {
    return limit;
  }

  /** Returns the allowed cost of five seconds, in ns. */
  long total() {
    return total;
  }

  /** Returns the allowed cost in ns per second, given the available and the used CPU time. */
  long rate() {
    return rate;
  }

  /** Returns the available CPU time in ns per second; {@link Cpus#UNLIMITED} if unknown. */
  long available() {
    return cpu == null ? Cpus.UNLIMITED : cpu.available();
  }

  /** Returns what firings may cost until the next poll, in ns. */
  long allowance(long now, CostWindow window) {
    if (limit == 0) {
      return FireGuard.UNLIMITED;
    }
    return Math.max(Math.min(total - window.spent(now), untilNextPoll()), 0);
  }

  /**
   * Returns the maximum cost until the next poll, in ns. Firings cannot cost this much if the poll
   * is in time. But with little CPU time and many threads, the watcher thread waits while the
   * program fires.
   */
  private long untilNextPoll() {
    return Math.max(share / 4 - unweaving(), available() / 100 * LATE_PERCENT);
  }

  /** Returns the reserve for unweaving, which uses a large part of a small share. */
  private long unweaving() {
    return Math.min(share / 10, UNWEAVING_NANOS);
  }

  /**
   * Returns true if methods have to be throttled. Half of the budget is reserved for methods that
   * cost little. Throttling begins when the other half is spent, if the last second shows that the
   * rest will not suffice.
   */
  boolean isExceeded(long now, CostWindow window) {
    long spent = window.spent(now);
    boolean willBeSpent = spent > total / 2 && window.spentInLastSecond(now) > rate + rate / 5;
    return spent >= total
        || willBeSpent
        || spent > share / 5 - unweaving() && isOverrun(now, window);
  }

  /**
   * Returns true if the program is as busy as before and firings currently cost far more than their
   * share. In a program that is not busy, probes may use most of the CPU time.
   */
  private boolean isOverrun(long now, CostWindow window) {
    long before = cpu.used(now) / SECONDS;
    long justNow = cpu.usedJustNow(now);
    return before > Math.min(available(), SECOND_NANOS) / BUSY_PART
        && justNow > CostWindow.perMoment(before) / 2
        && window.spentJustNow(now) > Limits.farAboveShare(justNow);
  }

  /** Describes the allowed rate, and why it differs from the requested limit. */
  String describe() {
    long allowed = Math.max(rate / PERCENT_NANOS, 1);
    if (rate >= percent * PERCENT_NANOS) {
      return allowed + "% (max-overhead)";
    }
    String reason = "a third of the CPU time that the program has used";
    // A program that exhausts its quota uses slightly less than the quota.
    if (rate > limit - limit / 8) {
      long hundredths = available() / PERCENT_NANOS;
      String fraction = hundredths % 100 < 10 ? ".0" : ".";
      reason = "the program can get " + hundredths / 100 + fraction + hundredths % 100 + " cores";
    }
    return allowed + "% (" + reason + "; max-overhead is " + percent + "%)";
  }
}
