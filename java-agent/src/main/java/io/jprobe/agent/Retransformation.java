// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

/** A retransformation by this agent. Used by the thread that runs it, until it has ended. */
final class Retransformation {
  private final Thread thread = Thread.currentThread();
  private final long start = System.nanoTime();
  private long lastPassed = start;
  private long end;

  /** The reason for returning an invalid class file; null for none. */
  Throwable problem;

  boolean isOfThisThread() {
    return thread == Thread.currentThread();
  }

  /** Records that a class has been passed to the transformer and is woven. */
  void passed() {
    lastPassed = System.nanoTime();
  }

  void ended() {
    end = System.nanoTime();
  }

  /** Returns the duration in ns. */
  long nanos() {
    return end - start;
  }

  /**
   * Returns the maximum duration of the safepoint in ns: the JVM passes all classes to the
   * transformers first, and then stops all threads to exchange the classes.
   */
  long safepointNanos() {
    return end - lastPassed;
  }

  void rethrow() {
    if (problem instanceof Error) {
      throw (Error) problem;
    }
    if (problem != null) {
      throw (RuntimeException) problem;
    }
  }
}
