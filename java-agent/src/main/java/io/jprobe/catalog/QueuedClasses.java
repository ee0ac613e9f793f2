// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import io.jprobe.stub.Semaphores;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The queue of classes that wait to be read. The threads that load classes add them in bursts. A
 * burst is over when no class was added for a while, or the first has waited for too long.
 */
final class QueuedClasses {
  private static final long QUIET_NANOS = 100_000_000L;
  private static final long MAX_WAIT_NANOS = 400_000_000L;
  private static final long RETRY_NANOS = 1_000_000_000L;

  // Guarded by this.
  private final Map<ClassKey, QueuedClass> waiting = new LinkedHashMap<>();
  private long first;
  private long last;
  private boolean isUrgent;
  private boolean isReading;

  synchronized void add(ClassKey key, QueuedClass queued) {
    last = System.nanoTime();
    if (waiting.isEmpty()) {
      first = last;
      Semaphores.wake();
    }
    waiting.putIfAbsent(key, queued);
  }

  /** Removes and returns the burst, if it is over; otherwise an empty map. */
  synchronized Map<ClassKey, QueuedClass> takeDue() {
    if (waiting.isEmpty()) {
      return new LinkedHashMap<>();
    }
    long now = System.nanoTime();
    if (!isUrgent && now - last < QUIET_NANOS && now - first < MAX_WAIT_NANOS) {
      return new LinkedHashMap<>();
    }
    isUrgent = false;
    Map<ClassKey, QueuedClass> due = new LinkedHashMap<>(waiting);
    waiting.clear();
    isReading = true;
    return due;
  }

  /** Ends the burst: the program waits for one of its classes. */
  synchronized void hurry() {
    isUrgent = true;
    Semaphores.wake();
  }

  /** Records that the burst that was taken last has been read. */
  synchronized void haveBeenRead() {
    isReading = false;
  }

  /** Returns true if the class is queued, or may be in the burst that is being read. */
  synchronized boolean isPending(ClassKey key) {
    return waiting.containsKey(key) || isReading;
  }

  /** Returns true if no class is queued or being read. */
  synchronized boolean isIdle() {
    return waiting.isEmpty() && !isReading;
  }

  /** Adds classes again that could not be published. The retry follows within a second. */
  synchronized void putBack(Map<ClassKey, QueuedClass> taken) {
    taken.forEach(waiting::putIfAbsent);
    first = System.nanoTime() + RETRY_NANOS - MAX_WAIT_NANOS;
    last = first;
  }

  synchronized boolean isEmpty() {
    return waiting.isEmpty();
  }

  synchronized void clear() {
    waiting.clear();
  }
}
