// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Waits until the kernel changes a semaphore of this process's stub libraries, which it does
 * without a notification. Polls them in native code, because a wakeup in Java uses four times the
 * CPU (src/main/c/agent/semaphores.c).
 *
 * <p>For the thread that loads and unloads libraries, except {@link #wake}.
 */
public final class Semaphores {
  private Semaphores() {}

  /**
   * Returns when a semaphore has changed since the last poll, when {@link #wake} is called or was
   * called since the last return, or after the maximum time.
   *
   * @param mostNanos maximum time to wait
   * @param periodNanos time between two polls
   */
  public static void awaitChange(long mostNanos, long periodNanos) {
    Native.awaitChange(mostNanos, periodNanos);
  }

  /** Ends the current wait, or the next. For any thread. */
  public static void wake() {
    Native.wake();
  }
}
