// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

/**
 * The pause between throttling and the next retry of any method. Methods that each pass their trial
 * can exceed the limit together. Retrying and throttling them again makes the JVM throw away what
 * it has compiled, which costs the program more than their probes. So the pause doubles if the
 * limit is exceeded soon after a retry.
 */
final class RetryPause {
  private static final long FIRST_NANOS = 10_000_000_000L;
  private static final long MAX_NANOS = 320_000_000_000L;

  /** The pause starts anew if the limit was kept for this time after a retry. */
  private static final long KEPT_NANOS = 60_000_000_000L;

  private long length = FIRST_NANOS;
  private long retriedAt;
  private boolean hasRetried;
  private boolean isPausing;
  private long end;

  /** Begins a pause, because methods together have exceeded the limit. */
  void begin(long now) {
    if (hasRetried) {
      length = now - retriedAt > KEPT_NANOS ? FIRST_NANOS : Math.min(2 * length, MAX_NANOS);
      hasRetried = false;
    }
    isPausing = true;
    end = now + length;
  }

  /** Records that methods are retried. */
  void retried(long now) {
    hasRetried = true;
    retriedAt = now;
  }

  /** Returns true if no method may be retried yet. */
  boolean isOn(long now) {
    isPausing = isPausing && now - end < 0;
    return isPausing;
  }

  /** Forgets everything: no tracer is attached any more. */
  void reset() {
    length = FIRST_NANOS;
    hasRetried = false;
    isPausing = false;
  }
}
