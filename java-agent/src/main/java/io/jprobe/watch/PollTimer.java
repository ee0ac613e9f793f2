// SPDX-License-Identifier: Apache-2.0
package io.jprobe.watch;

import io.jprobe.stub.Semaphores;

/** Waits for the next poll: the less happens, the longer. */
final class PollTimer {
  static final long SECOND_NANOS = 1_000_000_000L;

  /** Interval while a tracer is attached or work is pending, and for some time after that. */
  static final long PERIOD_NANOS = 40_000_000L;

  /**
   * Interval in an untraced program. A wakeup takes 0.1 ms on an idle machine regardless of the
   * work done, and 10,000 probes must cost less than 0.1% of a core. It is also the maximum delay
   * before a new tracer is noticed; the agent promises to weave within 200 ms.
   */
  private static final long IDLE_PERIOD_NANOS = 150_000_000L;

  /** Interval of the housekeeping in an untraced program: it uses CPU time in Java. */
  private static final int IDLE_SECONDS = 3;

  /** Time without activity after which the program counts as untraced. */
  private static final long IDLE_AFTER_NANOS = 10_000_000_000L;

  /**
   * Interval while semaphores change. A tracer of many probes changes them one by one, for about
   * 100 ms. Retransforming during that time would process the same classes, and stop the program,
   * twice.
   */
  private static final long CHANGE_PERIOD_NANOS = 8_000_000L;

  private long activeAt = System.nanoTime();

  /** Waits while semaphores are changing, costs are close to the limit, or work can continue. */
  void awaitUrgent() {
    Semaphores.awaitChange(CHANGE_PERIOD_NANOS, CHANGE_PERIOD_NANOS);
  }

  /** Waits while a tracer is attached or work is pending. */
  void awaitActive() {
    activeAt = System.nanoTime();
    Semaphores.awaitChange(PERIOD_NANOS, PERIOD_NANOS);
  }

  /**
   * Waits until a semaphore changes or the housekeeping is due.
   *
   * @param housekeptAt time of the last housekeeping
   */
  void awaitIdle(long housekeptAt) {
    long now = System.nanoTime();
    boolean isIdle = now - activeAt > IDLE_AFTER_NANOS;
    long dueIn = (isIdle ? IDLE_SECONDS : 1) * SECOND_NANOS - (now - housekeptAt);
    Semaphores.awaitChange(dueIn, isIdle ? IDLE_PERIOD_NANOS : PERIOD_NANOS);
  }
}
