// SPDX-License-Identifier: Apache-2.0
package io.jprobe.stub;

/**
 * Waits for the kernel to raise or drop a semaphore of one of this process's stub libraries. It
 * does so without waking anybody: they are compared every now and then, in native code, because a
 * look that wakes up in Java costs four times as much (src/main/c/agent/semaphores.c).
 *
 * <p>For the one thread that loads and unloads libraries, but for {@link #wake}.
 */
public final class Semaphores {
  private Semaphores() {}

  /**
   * Returns when a semaphore is not as it was when this looked last, or when {@link #wake} is
   * called or has been since this returned last, and after that time in any case.
   *
   * @param mostNanos how long to wait
   * @param periodNanos between two looks
   */
  public static void awaitChange(long mostNanos, long periodNanos) {
    Native.awaitChange(mostNanos, periodNanos);
  }

  /** Ends the wait that is under way, or the next. For any thread. */
  public static void wake() {
    Native.wake();
  }
}
