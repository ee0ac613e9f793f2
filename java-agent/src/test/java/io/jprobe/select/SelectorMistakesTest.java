// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

/** Errors point to the mistake and name what was expected. Columns count from 1. */
public class SelectorMistakesTest {
  private static void assertMistake(String selector, int column, String problem) {
    SelectorException mistake =
        assertThrows(selector, SelectorException.class, () -> Selector.parse(selector));
    String start = "selector '" + selector + "', column ";
    assertTrue(mistake.getMessage(), mistake.getMessage().startsWith(start));
    String[] rest = mistake.getMessage().substring(start.length()).split(": ", 2);
    assertEquals(mistake.getMessage(), String.valueOf(column), rest[0]);
    assertTrue(mistake.getMessage(), rest[1].contains(problem));
  }

  @Test
  public void inClasses() {
    assertMistake("com.acme.Orders", 16, "expected '#' and a method, as in com.acme.Orders#*");
    assertMistake(
        "com.acme.Orders.place", 22, "expected '#' and a method, as in com.acme.Orders#place");
    assertMistake("Orders.place(int)", 13, "found '('; write '#' before the method: Orders#place");
    assertMistake("com.acme.orders", 16, "expected '#' and a method, as in com.acme.orders#*");
    assertMistake("#place", 1, "expected a class before '#'");
    assertMistake("::place", 1, "expected a class before '::'");
    assertMistake("", 1, "expected a class");
    assertMistake("!", 2, "expected a class");
    assertMistake("public static", 14, "expected '#' and a method, as in static#*");
    assertMistake("com/acme#x", 4, "not '/'");
    assertMistake("com..acme#x", 5, "a name is missing");
    assertMistake(".acme#x", 1, "a name is missing");
    assertMistake("acme.#x", 5, "a name is missing");
    assertMistake("com.ac,me#x", 7, "',' cannot be in a class's name");
    assertMistake("a.***#x", 3, "more than two stars");
    assertMistake("a.%%*#x", 3, "more than two stars");
    assertMistake("A:x", 2, "expected '::', found ':'");
    assertMistake("A.place(int)", 8, "expected '#' and a method, found '('");
    assertMistake("void A#x", 6, "expected '#' and a method, found 'A'");
    assertMistake("!!A#x", 2, "'!' cannot be in a class's name");
    assertMistake("public private A#x", 8, "public, protected or private");
    assertMistake("++A#x", 2, "'+' cannot be in a class's name");
  }

  @Test
  public void inStacks() {
    assertMistake("A#x(stack(0))", 11, "expected a number of frames from 1 to 1024, found 0");
    assertMistake("A#x(stack(1025))", 11, "expected a number of frames from 1 to 1024");
    assertMistake("A#x(stack(1.5))", 11, "expected a number of frames from 1 to 1024");
    assertMistake("A#x(stack(5)", 13, "expected ',' or ')'");
    assertMistake("A#x(stack, stack(3))", 12, "there is a capture 'stack' already");
  }

  @Test
  public void inAnnotations() {
    assertMistake("@#x", 2, "expected an annotation, as in @com.acme.Timed, found '#'");
    assertMistake("@", 2, "expected an annotation");
    assertMistake("@a/B", 3, "not '/'");
    assertMistake("@a.B=", 5, "'=' cannot be in an annotation's name");
    assertMistake("@a.B +", 7, "expected a class");
    assertMistake("@a.B +#x", 7, "expected a class before '#'");
    assertMistake("A#@", 4, "expected an annotation");
    assertMistake("A#@a/B", 5, "not '/'");
    assertMistake("@a.B()", 6, "expected a capture");
    assertMistake("@a.B x", 7, "expected '#' and a method, as in x#*");
  }

  @Test
  public void inMethods() {
    assertMistake("A#", 3, "expected a method");
    assertMistake("A#pl ace", 6, "expected when, every, at most or the end, found 'ace'");
    assertMistake("A#b#c", 4, "'#' cannot be in a method's name");
    assertMistake("A#<ini>", 3, "'<' cannot be in a method's name");
    assertMistake("A#b.c", 4, "'.' cannot be in a method's name");
    assertMistake("A#b::c", 5, "expected a type");
    assertMistake("A#b:", 5, "expected a type");
  }

  @Test
  public void inTypes() {
    assertMistake("A#b(int", 8, "expected ',' or ')', found the end");
    assertMistake("A#b(int]", 8, "expected ',' or ')', found ']'");
    assertMistake("A#b[int)", 8, "expected ',' or ']', found ')'");
    assertMistake("A#b(int,)", 9, "expected a type");
    assertMistake("A#b(,int)", 5, "expected a type");
    assertMistake("A#b(List<String>)", 9, "without their parameters");
    assertMistake("A#b(String..)", 12, "a name is missing");
    assertMistake("A#b(...)", 5, "expected a type");
    assertMistake("A#b(order.id())", 13, "need one, as in (id=order.id())");
    assertMistake("A#b(int x)", 9, "expected ',' or ')', found 'x'");
    assertMistake("A#b(int[)", 8, "expected ',' or ')', found '['");
    assertMistake("A#b(int):", 10, "expected a type");
  }

  @Test
  public void inCaptures() {
    assertMistake("A#b(id=)", 8, "expected a path, as in arg0.id, found ')'");
    assertMistake("A#b(id=5)", 8, "expected a path, as in arg0.id, found '5'");
    assertMistake("A#b(arg0,)", 10, "expected a capture");
    assertMistake("A#b(=arg0)", 5, "expected a capture");
    assertMistake("A#b()()", 7, "expected a capture");
    assertMistake("A#b(arg0.)", 10, "expected a field or a method after '.'");
    assertMistake("A#b(arg0.x(1))", 12, "expected ')': only methods without arguments");
    assertMistake("A#b(arg0.x(])", 12, "expected ')'");
    assertMistake("A#b(arg0[x])", 9, "expected ',' or ')', found '['");
    assertMistake("A#b(arg0.0)", 10, "after '.', found '0'; write [0] for an element");
    assertMistake(
        "A#b(arg0[\"id\"])", 9, "a value of a map is read by its key, as in .get(\"id\")");
    assertMistake("A#b(x=arg0.a['id'])", 13, "a value of a map is read by its key");
    assertMistake("A#b(arg0[0)", 11, "expected ']', found ')'");
    assertMistake("A#b(arg0[1.5])", 10, "expected an index, as in [0], found 1.5");
    assertMistake("A#b(arg0[3000000000])", 10, "expected an index, as in [0], found 3000000000");
    assertMistake("A#b(arg0.get(x))", 14, "and get with a string or a whole number");
    assertMistake("A#b(arg0.get(1.5))", 17, "and get with a string or a whole number");
    assertMistake("A#b(arg0.put('x'))", 14, "only methods without arguments are called");
    assertMistake("A#b(x=(Order) arg0)", 8, "expected a cast, as in ((Order) arg0).id");
    assertMistake("A#b(((Order arg0).id)", 13, "expected ')', found 'arg0'");
    assertMistake("A#b(((Order) arg0.id)", 22, "expected ',' or ')', found the end");
    assertMistake("A#b(((5) arg0).id)", 7, "expected the name of a class, found '5'");
    String casts = "((A) ".repeat(9) + "arg0" + ")".repeat(9);
    assertMistake("A#b(" + casts + ")", 45, "a path has at most 8 casts");
    assertMistake("A#b(arg0", 9, "expected ',' or ')', found the end");
    assertMistake("A#b[arg0)", 9, "expected ',' or ']', found ')'");
    assertMistake("A#b(x=arg0,x=arg1)", 12, "there is a capture 'x' already");
    assertMistake("A#b(arg0,arg0)", 10, "there is a capture 'arg0' already");
    assertMistake("A#b(x=duration)", 7, "every return and throw event has the duration");
    assertMistake("A#b(duration)", 5, "every return and throw event has the duration");
    assertMistake("A#b(duration=arg0)", 5, "'duration' is reserved");
    assertMistake("A#b(arg1=arg0)", 5, "'arg1' is reserved");
    assertMistake("A#b(arg0)(arg1)", 10, "expected when, every, at most or the end, found '('");
    assertMistake("A#b(arg0):int", 10, "expected when, every, at most or the end, found ':'");
    assertMistake("!A#b(arg0)", 5, "neither captures nor conditions");
  }

  @Test
  public void inConditions() {
    assertMistake("A#b when", 9, "expected a path or a value");
    assertMistake("A#b when a >", 13, "expected a path or a value");
    assertMistake("A#b when > 5", 10, "expected a path or a value");
    assertMistake("A#b when a &&", 14, "expected a path or a value");
    assertMistake("A#b when a = 5", 12, "expected '==' to compare, found a single '='");
    assertMistake("A#b when a & b", 12, "expected '&&', found a single '&'");
    assertMistake("A#b when a | b", 12, "expected '||', found a single '|'");
    assertMistake("A#b when (a > 5", 16, "expected ')' or an operator, found the end");
    assertMistake("A#b when [a > 5)", 16, "expected ']' or an operator, found ')'");
    assertMistake("A#b when a > 5)", 15, "expected when, every, at most or the end, found ')'");
    assertMistake("A#b when 1 < a < 3", 16, "a comparison has two sides");
    assertMistake("A#b when 5", 11, "expected a comparison after 5");
    assertMistake("A#b when true", 14, "expected a comparison after true");
    assertMistake("A#b when 1 == 1", 10, "expected a path on one side");
    assertMistake("A#b when a b", 12, "expected when, every, at most or the end, found 'b'");
    assertMistake("A#b when duration", 18, "expected a comparison, as in duration > 5ms");
    assertMistake("A#b when duration > 5", 21, "a duration needs a unit, as in 5ms");
    assertMistake("A#b when duration > 5 ms", 21, "as in 5ms; write 5ms without a space");
    assertMistake("A#b when 1.5~s < duration", 14, "found 's'; write 1.5s without a space");
    assertMistake("A#b when 5 < duration", 10, "a duration needs a unit, as in 5ms");
    assertMistake("A#b when duration > arg0", 21, "a duration needs a unit, as in 5ms");
    assertMistake("A#b when duration > duration", 21, "a duration needs a unit, as in 5ms");
    assertMistake("A#b when duration.x > 5ms", 19, "the duration has no properties");
    assertMistake("A#b when arg0 > 5ms", 17, "only duration is compared with a time");
    assertMistake(
        "A#b when a > 5ms", 10, "'a' is not a duration; only duration is compared with a time");
    assertMistake("A#b when duratoin > 5ms", 10, "there is no 'duratoin'; did you mean duration?");
    assertMistake("A#b when 5ms < Duration", 16, "there is no 'Duration'; did you mean duration?");
  }

  @Test
  public void inValues() {
    assertMistake("A#b when a > 5sec", 15, "unknown unit 'sec'; expected ns, us, ms, s or min");
    assertMistake("A#b when a > 5.", 16, "expected a digit");
    assertMistake("A#b when a > 5_", 16, "expected a digit");
    assertMistake("A#b when a > 0x", 16, "expected a hexadecimal digit");
    assertMistake("A#b when a > 0x5g", 17, "expected a hexadecimal digit, found 'g'");
    assertMistake("A#b when a > 1.5L", 17, "unknown unit 'L'");
    assertMistake("A#b when duration > 1e3ms", 24, "'ms' cannot follow an exponent");
    assertMistake("A#b when duration > -1ms", 21, "a duration cannot be negative");
    assertMistake("A#b when a > 9223372036854775808", 14, "the number is too large");
    assertMistake("A#b when duration > 999999999999min", 21, "the number is too large");
    assertMistake("A#b when a == 'x", 15, "this string is not closed");
    assertMistake("A#b when a == 'x\"", 15, "this string is not closed");
    assertMistake("A#b when a == 'x\\q'", 17, "expected one of");
    assertMistake("A#b when a == '\\u12'", 16, "expected four hexadecimal digits");
  }

  @Test
  public void inOtherClauses() {
    assertMistake("A#b every", 10, "expected a number after 'every', found the end");
    assertMistake("A#b every 0", 11, "expected a number of at least 1");
    assertMistake("A#b every x", 11, "expected a number after 'every', found 'x'");
    assertMistake("A#b every 1.5", 12, "'.' cannot be in a whole number");
    assertMistake("A#b every 10s", 13, "'s' cannot be in a whole number");
    assertMistake("A#b at 5/s", 8, "expected 'most'");
    assertMistake("A#b at most /s", 13, "expected a number after 'at most'");
    assertMistake("A#b at most 0/s", 13, "expected a number of at least 1");
    assertMistake("A#b at most 5", 14, "expected '/s'");
    assertMistake("A#b at most 5/min", 14, "expected '/s'");
    assertMistake("A#b every 5 every 6", 13, "there is an 'every' already");
    assertMistake("A#b at most 5/s at most 5/s", 17, "there is an 'at most' already");
    assertMistake("A#b when a when b", 12, "there is a condition already");
    assertMistake("A#b when a and when b", 16, "there is a condition already");
    assertMistake("A#b every 5 and", 16, "expected when, every or at most, found the end");
    assertMistake("A#b every 5,", 13, "expected when, every or at most, found the end");
    assertMistake("A#b and every 5", 5, "expected when, every, at most or the end, found 'and'");
    assertMistake("A#b evry 5", 5, "expected when, every, at most or the end, found 'evry'");
    assertMistake("!A#b every 5", 6, "neither captures nor conditions");
  }

  @Test
  public void inTheLengthOfConditions() {
    assertMistake("A#b when " + "(".repeat(50_000), 510, "at most 500 parts");
    assertMistake("A#b when " + "!".repeat(50_000), 510, "at most 500 parts");
    assertMistake("A#b when " + "a||".repeat(50_000), 1510, "at most 500 parts");
  }
}
