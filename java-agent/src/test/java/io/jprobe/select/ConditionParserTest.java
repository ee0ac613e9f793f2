// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;

import org.junit.Test;

/** Parses conditions and other clauses. */
public class ConditionParserTest {
  private static String condition(String written) throws SelectorException {
    return Rendering.of(Selector.parse("A#m when " + written).condition());
  }

  private static Literal literal(String written) throws SelectorException {
    Condition.Comparison comparison =
        (Condition.Comparison) Selector.parse("A#m when x == " + written).condition();
    return (Literal) comparison.right;
  }

  private static void assertClauses(
      String written, String condition, long every, long perSecond, String text)
      throws SelectorException {
    Selector selector = Selector.parse("A#m" + written);
    assertEquals(condition, Rendering.of(selector.condition()));
    assertEquals(every, selector.every());
    assertEquals(perSecond, selector.perSecond());
    assertEquals(text, selector.conditionText());
  }

  @Test
  public void operatorsBindAsUsual() throws Exception {
    assertEquals("((a AND b) OR (c AND d))", condition("a && b || c && d"));
    assertEquals("((a AND (b OR c)) AND d)", condition("a && (b || c) && d"));
    assertEquals("((a OR b) OR c)", condition("a||b||c"));
    assertEquals("(!a AND b)", condition("!a && b"));
    assertEquals("!(a==b)", condition("!a == b"));
    assertEquals("!!a", condition("!!a"));
    assertEquals("!(a OR b)", condition("!(a || b)"));
    assertEquals("((a<1) AND (b>=2))", condition("a<1&&b>=2"));
    assertEquals("a", condition("((a))"));
  }

  @Test
  public void relationsHaveTwoSpellings() throws Exception {
    assertEquals("(a==1)", condition("a == 1"));
    assertEquals("(a!=1)", condition("a!=1"));
    assertEquals("(a<=1)", condition("a<=1"));
    assertEquals("(a>1)", condition("a>1"));
    assertEquals("(1<a)", condition("1 < a"));
    assertEquals("(a==1)", condition("a eq 1"));
    assertEquals("(a!=1)", condition("a ne 1"));
    assertEquals("(a<1)", condition("a lt 1"));
    assertEquals("(a<=1)", condition("a le 1"));
    assertEquals("(a>1)", condition("a gt 1"));
    assertEquals("(a>=1)", condition("a ge 1"));
  }

  @Test
  public void wordsStandForOperators() throws Exception {
    assertEquals("((a AND !b) OR c)", condition("a and not b or c"));
    assertEquals("(!(a OR b) AND c)", condition("not[a or b]~and~c"));
    assertEquals("(android OR order)", condition("android or order"));
    assertEquals("notable", condition("notable"));
  }

  @Test
  public void pathsAreOperands() throws Exception {
    assertEquals("(arg0.customer().city==return.x)", condition("arg0.customer[].city==return.x"));
    assertEquals("this.isOpen()", condition("this.isOpen()"));
    assertEquals("(thread.virtual==true)", condition("thread.virtual == true"));
  }

  @Test
  public void capturesAreCalledByName() throws Exception {
    Selector selector = Selector.parse("A#m(city=arg0.city, id=arg1) when id > 5 && city == 'x'");
    assertEquals("((arg1>5) AND (arg0.city==\"x\"))", Rendering.of(selector.condition()));
    assertEquals(
        "(arg0.city.length()>5)",
        Rendering.of(Selector.parse("A#m(c=arg0.city) when c.length() > 5").condition()));
  }

  @Test
  public void aCapturesPathHasTheColumnOfItsUse() throws Exception {
    Selector selector = Selector.parse("A#m(c=arg0.city) when c");
    assertEquals(22, ((Condition.Truth) selector.condition()).path.column);
  }

  @Test
  public void integersAreLongs() throws Exception {
    assertEquals(Literal.Kind.INTEGER, literal("5").kind);
    assertEquals(5L, literal("5").value);
    assertEquals(-5L, literal("-5").value);
    assertEquals(5L, literal("+5L").value);
    assertEquals(1_000_000L, literal("1_000_000l").value);
    assertEquals(255L, literal("0xfF").value);
    assertEquals(-255L, literal("-0xFF").value);
    assertEquals(0xcafe_babeL, literal("0xcafe_babe").value);
    assertEquals(-1L, literal("0xffff_ffff_ffff_ffffL").value);
    assertEquals(Long.MAX_VALUE, literal("9223372036854775807").value);
    assertEquals(Long.MIN_VALUE, literal("-9223372036854775808").value);
    assertEquals("1_000L", literal("1_000L").toString());
  }

  @Test
  public void decimalsAreDoubles() throws Exception {
    assertEquals(Literal.Kind.DECIMAL, literal("1.5").kind);
    assertEquals(1.5, literal("1.5").value);
    assertEquals(-0.25, literal("-0.25").value);
    assertEquals(1500.0, literal("1.5e3").value);
    assertEquals(0.02, literal("2E-2").value);
    assertEquals(1e10, literal("1e+1_0").value);
  }

  @Test
  public void stringsHaveQuotesOfEitherKind() throws Exception {
    assertEquals(Literal.Kind.STRING, literal("'a'").kind);
    assertEquals("it's; #~\u00e4\n\t\"\\", literal("\"it's; #~\\u00e4\\n\\t\\\"\\\\\"").value);
    assertEquals("say \"hi\" 'x'", literal("'say \"hi\" \\'x\\''").value);
    assertEquals("", literal("''").value);
  }

  @Test
  public void wordsAreValuesToo() throws Exception {
    assertEquals(true, literal("true").value);
    assertEquals(false, literal("false").value);
    assertNull(literal("null").value);
    assertEquals(Literal.Kind.NULL, literal("null").kind);
    assertEquals("(truth==nullable)", condition("truth == nullable"));
  }

  @Test
  public void timesAreNanoseconds() throws Exception {
    assertEquals("(duration>5ns)", condition("duration > 5ns"));
    assertEquals("(duration>5000ns)", condition("duration > 5us"));
    assertEquals("(duration>1500000ns)", condition("duration > 1.5ms"));
    assertEquals("(2000000000ns<=duration)", condition("2s <= duration"));
    assertEquals("(duration<60000000000ns)", condition("duration lt 1min"));
    assertEquals("(duration>1000000000ns)", condition("duration > 1_000ms"));
  }

  @Test
  public void clausesStandInAnyOrder() throws Exception {
    assertClauses(" every 10", "none", 10, 0, "every 10");
    assertClauses(" when every 10", "none", 10, 0, "when every 10");
    assertClauses(" at most 50/s", "none", 1, 50, "at most 50/s");
    assertClauses(" when at  most 50 / s", "none", 1, 50, "when at most 50 / s");
    assertClauses(
        " when a > 5 every 10 at most 1_000/s",
        "(a>5)",
        10,
        1000,
        "when a > 5 every 10 at most 1_000/s");
    assertClauses(" at most 5/s when a every 2", "a", 2, 5, "at most 5/s when a every 2");
    assertClauses("(x=arg0)every 7 when x", "arg0", 7, 0, "every 7 when x");
  }

  @Test
  public void clausesMayBeJoined() throws Exception {
    assertClauses(
        " when a && b and every 10, at most 5/s",
        "(a AND b)",
        10,
        5,
        "when a && b and every 10, at most 5/s");
    assertClauses(" every 10 && when a", "a", 10, 0, "every 10 && when a");
    assertClauses(" when a and when every 3", "a", 3, 0, "when a and when every 3");
    assertClauses(" when a, every 3,at most 4/s", "a", 3, 4, "when a, every 3,at most 4/s");
  }

  @Test
  public void onlyBlanksOfTheTextChange() throws Exception {
    assertClauses(
        "~when~~a  ==\t'~  ~'   every~5 ", "(a==\"~  ~\")", 5, 0, "when a == '~  ~' every 5");
  }

  @Test
  public void argumentsMayBeCalledLikeClauses() throws Exception {
    assertEquals("((a AND every) OR when)", condition("a and every or when"));
    assertEquals("((at>5) AND (every<3))", condition("at > 5 and every < 3"));
    assertEquals("(when==every)", condition("when == every"));
    assertFalse(Selector.parse("@a.B when.C#d").conditionText().startsWith("when"));
  }
}
