// SPDX-License-Identifier: Apache-2.0
package io.jprobe.catalog;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

/** What was spent is known for five seconds. */
public class CostWindowTest {
  private static final long SECOND = 1_000_000_000L;

  private final CostWindow window = new CostWindow();

  @Test
  public void allOfTheLastFiveSecondsCounts() {
    for (int tenth = 0; tenth < 50; tenth++) {
      window.add(tenth * SECOND / 10, 1);
    }
    assertEquals(50, window.spent(49 * SECOND / 10));
  }

  @Test
  public void whatIsOlderIsForgottenByTheSlice() {
    window.add(0, 7);
    window.add(3 * SECOND, 5);
    assertEquals("a part of its slice is within", 12, window.spent(5 * SECOND + 99_999_999));
    assertEquals(5, window.spent(5 * SECOND + 100_000_000));
    assertEquals(0, window.spent(9 * SECOND));
  }

  @Test
  public void theLastSecondIsKnownAlone() {
    window.add(0, 100);
    window.add(2 * SECOND, 10);
    window.add(5 * SECOND / 2, 1);
    assertEquals(11, window.spentInLastSecond(3 * SECOND));
    assertEquals(1, window.spentInLastSecond(34 * SECOND / 10));
    assertEquals(111, window.spent(34 * SECOND / 10));
  }

  @Test
  public void afterAnyPauseNothingIsLeft() {
    for (long at : new long[] {-20 * SECOND, 0, 100 * SECOND, 1_000_000 * SECOND}) {
      assertEquals(0, window.spent(at));
      window.add(at, 3);
      assertEquals(3, window.spent(at));
      assertEquals(0, window.spent(at + 6 * SECOND));
    }
  }
}
