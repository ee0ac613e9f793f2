// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;

import org.junit.Test;

/** The length of the pause, with times that the test sets. */
public class RetryPauseTest {
  private static final long SECOND = 1_000_000_000L;

  private final RetryPause pause = new RetryPause();
  private long now = Long.MAX_VALUE - 100 * SECOND;

  /** Begins a pause and returns its length in seconds. */
  private long begin() {
    pause.begin(now);
    return seconds();
  }

  private long seconds() {
    long began = now;
    while (pause.isOn(now)) {
      now += SECOND;
    }
    return (now - began) / SECOND;
  }

  private void retry(long seconds) {
    pause.retried(now);
    now += seconds * SECOND;
  }

  @Test
  public void itDoublesIfTheLimitIsExceededSoonAfterARetry() {
    assertFalse(pause.isOn(now));
    assertEquals(10, begin());
    retry(5);
    assertEquals(20, begin());
    for (int i = 0; i < 10; i++) {
      retry(50);
      begin();
    }
    retry(1);
    assertEquals(320, begin());
  }

  @Test
  public void severalThrottlingsBeforeARetryCountAsOne() {
    pause.begin(now);
    now += 4 * SECOND;
    assertEquals(10, begin());
  }

  @Test
  public void itStartsAnewIfTheLimitWasKeptForAMinuteOrNoTracerIsAttached() {
    begin();
    retry(5);
    assertEquals(20, begin());
    retry(61);
    assertEquals(10, begin());
    retry(5);
    pause.begin(now);
    pause.reset();
    assertFalse(pause.isOn(now));
    assertEquals(10, begin());
  }
}
