// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.calls.ApplicationCalls;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Classes with a selected method whose paths need a class file that could not be found or read. A
 * loader may provide it later, so the class is read again: after 1 s, 2 s, 4 s and so on, or when a
 * loader that has not answered does. For the watcher thread only.
 */
public final class IncompleteClasses {
  /** Maximum number of classes that are read again: each takes about 0.1 ms. */
  private static final int MAX_CLASSES = 1_000;

  private static final long FIRST_RETRY_NANOS = 1_000_000_000L;
  private static final long MAX_RETRY_NANOS = 64_000_000_000L;

  private static final class Retry {
    long nanos = FIRST_RETRY_NANOS;
    long at;
    boolean waitsForLoader;
    boolean isTaken;
  }

  private final Map<TracedClass, Retry> retries = new LinkedHashMap<>();
  private final ApplicationCalls calls;

  IncompleteClasses(ApplicationCalls calls) {
    this.calls = calls;
  }

  /** Records whether a class that was read needs a further retry. */
  void update(ClassPlan plan) {
    if (!plan.isRead) {
      return;
    }
    Retry retry = retries.remove(plan.traced);
    boolean isIncomplete = plan.untraceable.stream().anyMatch(one -> one.isRetried);
    if (!isIncomplete || retries.size() >= MAX_CLASSES) {
      return;
    }
    Retry next = new Retry();
    next.waitsForLoader = isStuck(plan.traced);
    next.nanos = retry == null ? FIRST_RETRY_NANOS : Math.min(2 * retry.nanos, MAX_RETRY_NANOS);
    next.at = System.nanoTime() + next.nanos;
    retries.put(plan.traced, next);
  }

  private boolean isStuck(TracedClass traced) {
    ClassLoader loader = traced.key.loader.get();
    return loader != null && calls.isStuck(loader);
  }

  /** Returns the classes to read again now. Forgets those that were unloaded. */
  public Set<TracedClass> takeDue() {
    if (retries.isEmpty()) {
      return Set.of();
    }
    retries.keySet().removeIf(TracedClass::isUnloaded);
    Set<TracedClass> due = new HashSet<>();
    long now = System.nanoTime();
    retries.forEach(
        (traced, retry) -> {
          boolean isDue = now - retry.at > 0 || retry.waitsForLoader;
          if (isDue && !isStuck(traced)) {
            retry.waitsForLoader = false;
            retry.isTaken = true;
            // In case that it cannot be read now.
            retry.at = now + retry.nanos;
            due.add(traced);
          }
        });
    return due;
  }

  /**
   * Returns true if a class is not read again.
   *
   * @param known its description; null if it was not read yet
   */
  boolean isFinal(TracedClass known) {
    Retry retry = retries.get(known);
    return known != null && (retry == null || !retry.isTaken);
  }

  void clear() {
    retries.clear();
  }
}
