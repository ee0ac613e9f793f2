// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import static io.jprobe.capture.Typing.assertMistake;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.capture.TypedCondition.Comparison;
import io.jprobe.capture.TypedCondition.Kind;
import io.jprobe.select.Condition.Relation;
import io.jprobe.select.SelectorException;
import java.util.stream.Collectors;
import org.junit.Test;

public class ConditionTyperTest {
  private static Comparison comparison(String method, String condition) throws SelectorException {
    Captures captures = Typing.of(method, " when " + condition);
    return (Comparison) (captures.early.isEmpty() ? captures.late : captures.early).get(0);
  }

  private static void assertKind(Kind kind, Object constant, String condition) throws Exception {
    Comparison comparison = comparison("start", condition);
    assertSame(condition, kind, comparison.kind);
    assertEquals(condition, constant, comparison.right.constant);
  }

  private static void assertRefused(String condition, String problem) {
    assertMistake("start", " when " + condition, condition, problem);
  }

  @Test
  public void numbersCompareWithNumbersWhateverTheirWidth() throws Exception {
    assertKind(Kind.INTEGRAL, 5L, "count > 5");
    assertKind(Kind.INTEGRAL, null, "count >= zone");
    assertKind(Kind.DECIMAL, 5.5, "count < 5.5");
    assertKind(Kind.DECIMAL, 5.0, "fare <= 5");
    assertKind(Kind.DECIMAL, null, "fare != count");
  }

  @Test
  public void aCharIsANumberAndAStringOfOne() throws Exception {
    assertKind(Kind.INTEGRAL, (long) 'B', "zone == 'B'");
    assertKind(Kind.INTEGRAL, 66L, "zone > 66");
    assertRefused("zone == 'AB'", "cannot compare 'zone' of type char with 'AB'");
  }

  @Test
  public void aBooleanIsTrueOrFalseAndNothingBetween() throws Exception {
    assertKind(Kind.INTEGRAL, 1L, "express == true");
    assertKind(Kind.INTEGRAL, 0L, "express != false");
    assertRefused(
        "express < true",
        "'express' of type boolean can only be compared with == and !=, not with <");
    assertRefused("express == 1", "cannot compare 'express' of type boolean with 1");
  }

  @Test
  public void aPathAloneIsABoolean() throws Exception {
    Comparison alone = comparison("start", "express");
    assertSame(Relation.NOT_EQUAL, alone.relation);
    assertEquals(0L, alone.right.constant);
    assertRefused("count", "'count' is of type int, not boolean; compare it");
  }

  @Test
  public void stringsAreEqualOrNot() throws Exception {
    assertKind(Kind.STRING, "Riga", "to == 'Riga'");
    assertKind(Kind.NULL, null, "to != null");
    assertRefused(
        "to >= 'Riga'",
        "'to' of type java.lang.String can only be compared with == and !=, not with >=");
    assertRefused("to == 5", "cannot compare 'to' of type java.lang.String with 5");
  }

  @Test
  public void anEnumComparesByTheNameOfItsConstant() throws Exception {
    Comparison comparison = comparison("travel", "mood == 'GOOD'");
    assertSame(Kind.STRING, comparison.kind);
    assertEquals("name", comparison.left.path.steps.get(0).name);
    assertEquals("GOOD", comparison.right.constant);
    Comparison turned = comparison("travel", "'GOOD' != mood");
    assertEquals("name", turned.right.path.steps.get(0).name);
    assertSame(Kind.NULL, comparison("travel", "mood == null").kind);
  }

  @Test
  public void anExceptionComparesByTheNameOfItsClass() throws Exception {
    Comparison comparison = comparison("travel", "exception == 'java.io.IOException'");
    assertSame(Kind.STRING, comparison.kind);
    assertEquals(
        "[getClass, getName]",
        comparison.left.path.steps.stream()
            .map(step -> step.name)
            .collect(Collectors.toList())
            .toString());
    Comparison without = comparison("travel", "exception == null");
    assertSame(Kind.NULL, without.kind);
    assertEquals(0, without.left.path.steps.size());
  }

  @Test
  public void otherReferencesAreNullOrNot() throws Exception {
    assertKind(Kind.NULL, null, "boxed == null");
    assertSame(Kind.NULL, comparison("travel", "places != null").kind);
    assertRefused("boxed == true", "cannot compare 'boxed' of type java.lang.Integer with true");
    assertRefused("boxed == 'x'", "cannot compare 'boxed' of type java.lang.Integer with 'x'");
    assertRefused("count == null", "cannot compare 'count' of type int with null");
    assertMistake(
        "travel",
        " when other == named",
        "other",
        "cannot compare 'other' of type io.jprobe.capture.away.Traveller with 'named' of type"
            + " io.jprobe.capture.Journey$Named");
  }

  @Test
  public void anErrorNamesWhatCanBeComparedInstead() throws Exception {
    assertMistake(
        "look",
        " when price > 20.5",
        "price",
        "cannot compare 'price' of type java.math.BigDecimal with 20.5; write price.doubleValue()");
    assertSame(Kind.DECIMAL, comparison("look", "price.doubleValue() > 20.5").kind);
    assertMistake(
        "look",
        " when seat == '4A'",
        "seat",
        "cannot compare 'seat' of type java.util.Optional with '4A'; write seat.get()");
    assertSame(Kind.STRING, comparison("look", "seat.get() == '4A'").kind);
    assertMistake(
        "look",
        " when 4 < row",
        "4",
        "cannot compare 4 with 'row' of type java.util.OptionalInt; write row.getAsInt()");
    assertSame(Kind.INTEGRAL, comparison("look", "4 < row.getAsInt()").kind);
    assertMistake(
        "travel",
        " when mood == Mood.GOOD",
        "mood",
        "cannot compare 'mood' of type io.jprobe.capture.Journey$Mood with 'Mood.GOOD' of type"
            + " io.jprobe.capture.Journey$Mood; write the name of a constant as a string, as in"
            + " \"PAID\"");
    SelectorException bare =
        assertThrows(SelectorException.class, () -> Typing.of("travel", " when mood == GOOD"));
    assertTrue(
        bare.getMessage(),
        bare.getMessage().endsWith("; write \"GOOD\" for a constant of an enum"));
  }

  @Test
  public void aPathInAConditionMustResolve() {
    assertMistake(
        "travel",
        " when mood == 'GOOD' && other.nothing > 5",
        "nothing",
        "io.jprobe.capture.away.Traveller has no 'nothing': no field or getter that a path can"
            + " read has that name");
  }

  @Test
  public void aConditionMayUseTheNamesOfCaptures() throws Exception {
    Captures captures = Typing.of("start", "(to=count) when to > 5");
    Comparison comparison = (Comparison) captures.early.get(0);
    assertSame("captures win over arguments", Kind.INTEGRAL, comparison.kind);
    assertEquals("count", comparison.left.path.toString());
  }
}
