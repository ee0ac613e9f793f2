// SPDX-License-Identifier: Apache-2.0
package io.jprobe.guard;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

/** The window keeps the costs of five seconds. */
public class CostWindowTest {
  private static final long SECOND = 1_000_000_000L;

  private final CostWindow window = new CostWindow();

  @Test
  public void theLastFiveSecondsCount() {
    for (int tenth = 0; tenth < 50; tenth++) {
      window.add(tenth * SECOND / 10, 1);
    }
    assertEquals(50, window.spent(49 * SECOND / 10));
  }

  @Test
  public void olderCostsAreDroppedSliceBySlice() {
    window.add(0, 7);
    window.add(3 * SECOND, 5);
    assertEquals("part of its slice is within the span", 12, window.spent(5 * SECOND + 99_999_999));
    assertEquals(5, window.spent(5 * SECOND + 100_000_000));
    assertEquals(0, window.spent(9 * SECOND));
  }

  @Test
  public void theLastSecondIsKnownSeparately() {
    window.add(0, 100);
    window.add(2 * SECOND, 10);
    window.add(5 * SECOND / 2, 1);
    assertEquals(11, window.spentInLastSecond(3 * SECOND));
    assertEquals(1, window.spentInLastSecond(34 * SECOND / 10));
    assertEquals(111, window.spent(34 * SECOND / 10));
  }

  @Test
  public void afterAnyPauseTheWindowIsEmpty() {
    for (long at : new long[] {-20 * SECOND, 0, 100 * SECOND, 1_000_000 * SECOND}) {
      assertEquals(0, window.spent(at));
      window.add(at, 3);
      assertEquals(3, window.spent(at));
      assertEquals(0, window.spent(at + 6 * SECOND));
    }
  }

  @Test
  public void costsOfALongTimeAreSpreadOverIt() {
    window.spread(0, 2 * SECOND, 200);
    assertEquals(200, window.spent(2 * SECOND));
    assertEquals(110, window.spentInLastSecond(2 * SECOND));
    assertEquals(30, window.spentJustNow(2 * SECOND));
    window.spread(2 * SECOND, 2 * SECOND + 1, 7);
    assertEquals("nothing is lost to rounding", 207, window.spent(2 * SECOND + 1));
    assertEquals(107, window.spent(6 * SECOND), 10);
  }

  @Test
  public void costsOfMoreThanFiveSecondsAreDroppedInPart() {
    window.spread(0, 100 * SECOND, 1_000);
    assertEquals(50, window.spent(100 * SECOND), 2);
    assertEquals(50, window.spentAtLeast(100 * SECOND));
  }

  @Test
  public void justNowIsTwoSlicesAndTheOneThatHasBegun() {
    window.add(0, 1);
    window.add(SECOND / 10, 10);
    window.add(2 * SECOND / 10, 100);
    window.add(3 * SECOND / 10, 1_000);
    assertEquals(1_110, window.spentJustNow(3 * SECOND / 10));
    assertEquals(20, CostWindow.perMoment(100));
  }
}
