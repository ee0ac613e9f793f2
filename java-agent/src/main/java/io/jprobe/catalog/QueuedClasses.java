// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.Semaphores;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Classes that wait to be read. They arrive in bursts, from the threads that load them; a burst is
 * over when no class has come for a while, or the first has waited for long.
 */
final class Offers {
  private static final long QUIET_NANOS = 100_000_000L;
  private static final long PATIENCE_NANOS = 400_000_000L;
  private static final long RETRY_NANOS = 1_000_000_000L;

  // All guarded by this.
  private final Map<ClassKey, Offer> waiting = new LinkedHashMap<>();
  private long first;
  private long last;

  synchronized void add(ClassKey key, Offer offer) {
    last = System.nanoTime();
    if (waiting.isEmpty()) {
      first = last;
      Semaphores.wake();
    }
    waiting.putIfAbsent(key, offer);
  }

  /** Takes the burst, if it is over. The map is the caller's own. */
  synchronized Map<ClassKey, Offer> takeDue() {
    if (waiting.isEmpty()) {
      return new LinkedHashMap<>();
    }
    long now = System.nanoTime();
    if (now - last < QUIET_NANOS && now - first < PATIENCE_NANOS) {
      return new LinkedHashMap<>();
    }
    Map<ClassKey, Offer> due = new LinkedHashMap<>(waiting);
    waiting.clear();
    return due;
  }

  /** Gives back what could not be published; the next try comes in the next second. */
  synchronized void putBack(Map<ClassKey, Offer> taken) {
    taken.forEach(waiting::putIfAbsent);
    first = System.nanoTime() + RETRY_NANOS - PATIENCE_NANOS;
    last = first;
  }

  synchronized boolean isEmpty() {
    return waiting.isEmpty();
  }

  synchronized void clear() {
    waiting.clear();
  }
}
