// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class SelectorTest {
  private static boolean matches(String selector, String className, String method)
      throws SelectorException {
    return Selector.parse(selector).matches(className, method);
  }

  @Test
  public void aStarStaysWithinAName() throws Exception {
    assertTrue(matches("com.acme.*#place", "com.acme.Orders", "place"));
    assertTrue(matches("com.acme.*#place", "com.acme.Orders$Line", "place"));
    assertFalse(matches("com.acme.*#place", "com.acme.store.Orders", "place"));
    assertTrue(matches("com.*.Orders#place", "com.acme.Orders", "place"));
    assertFalse(matches("com.*.Orders#place", "com.acme.store.Orders", "place"));
  }

  @Test
  public void twoStarsCrossPackages() throws Exception {
    assertTrue(matches("com.**#place", "com.acme.store.Orders", "place"));
    assertTrue(matches("**Service#place", "com.acme.OrderService", "place"));
    assertTrue(matches("**Service#place", "OrderService", "place"));
    assertFalse(matches("**Service#place", "com.acme.OrderServiceTest", "place"));
    assertTrue(matches("com.**.Orders#place", "com.a.b.Orders", "place"));
    assertFalse(matches("com.**.Orders#place", "com.Orders", "place"));
  }

  @Test
  public void starsMatchSeveralTimesInAName() throws Exception {
    assertTrue(matches("*#get*Of*", "A", "getNumberOfThings"));
    assertTrue(matches("*#get*Of*", "A", "getOf"));
    assertFalse(matches("*#get*Of*", "A", "getThings"));
    assertTrue(matches("A#*", "A", "<init>"));
    assertFalse(matches("A#*", "B", "x"));
  }

  @Test
  public void constructorsAndInitialisersHaveNames() throws Exception {
    assertTrue(matches("A#<init>", "A", "<init>"));
    assertTrue(matches("A#<clinit>", "A", "<clinit>"));
    assertFalse(matches("A#<init>", "A", "init"));
  }

  @Test
  public void manySelectorsAreOne() throws Exception {
    Selectors selectors = Selectors.parse("com.acme.Orders#place; com.acme.Bills#*");
    assertFalse(selectors.matching("com.acme.Orders", "place").isEmpty());
    assertFalse(selectors.matching("com.acme.Bills", "pay").isEmpty());
    assertTrue(selectors.matching("com.acme.Orders", "pay").isEmpty());
    assertTrue(selectors.matchesClass("com.acme.Orders"));
    assertFalse(selectors.matchesClass("com.acme.Other"));
    assertEquals("com.acme.Bills#*", selectors.each().get(1).toString());
  }

  @Test
  public void aMistakeIsPointedAt() {
    assertMistake("com.acme.Orders", 16, "expected '#'");
    assertMistake("#place", 1, "expected a class");
    assertMistake("", 1, "expected a class");
    assertMistake("A#", 3, "expected a method");
    assertMistake("com/acme#x", 4, "not '/'");
    assertMistake("com..acme#x", 5, "a name is missing");
    assertMistake(".acme#x", 1, "a name is missing");
    assertMistake("acme.#x", 5, "a name is missing");
    assertMistake("com.ac-me#x", 7, "'-' cannot be in a class's name");
    assertMistake("A#pl ace", 5, "' ' cannot be in a method's name");
    assertMistake("A#b#c", 4, "'#' cannot be in a method's name");
    assertMistake("A#<ini>", 3, "'<' cannot be in a method's name");
    assertMistake("a.***#x", 3, "a star more");
  }

  private static void assertMistake(String selector, int column, String problem) {
    SelectorException mistake =
        assertThrows(SelectorException.class, () -> Selector.parse(selector));
    assertTrue(
        mistake.getMessage(),
        mistake.getMessage().startsWith("selector '" + selector + "', column " + column + ": "));
    assertTrue(mistake.getMessage(), mistake.getMessage().contains(problem));
  }

  @Test(timeout = 5_000)
  public void manyStarsTakeNoLongTime() throws Exception {
    assertFalse(matches("**a**a**a**a**b#x", "a".repeat(60), "x"));
  }
}
