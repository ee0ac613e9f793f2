// SPDX-License-Identifier: Apache-2.0
package io.jprobe.agent;

import io.jprobe.catalog.TracedClass;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Classes that are still woven although no tracer is attached, because restoring them has failed.
 * Another agent may prevent it; the retries follow after 1 s, 2 s, 4 s and so on.
 */
final class RestoreRetries {
  private static final long FIRST_RETRY_NANOS = 1_000_000_000L;
  private static final long MAX_RETRY_NANOS = 64_000_000_000L;

  private final Set<TracedClass> unrestored = new LinkedHashSet<>();
  private long retryAt;
  private long retryNanos = FIRST_RETRY_NANOS;

  /** Adds a class. Returns true if it was not there before. */
  boolean add(TracedClass traced) {
    if (unrestored.isEmpty()) {
      retryAt = System.nanoTime() + FIRST_RETRY_NANOS;
    }
    return unrestored.add(traced);
  }

  /** Lets the classes be processed if a retry is due. */
  void requeue(PendingClasses pending) {
    unrestored.removeIf(traced -> !traced.isWoven() || traced.loaded() == null);
    if (unrestored.isEmpty()) {
      retryNanos = FIRST_RETRY_NANOS;
    } else if (System.nanoTime() - retryAt > 0) {
      pending.add(unrestored);
      retryNanos = Math.min(2 * retryNanos, MAX_RETRY_NANOS);
      retryAt = System.nanoTime() + retryNanos;
    }
  }
}
