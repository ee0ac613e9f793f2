// SPDX-License-Identifier: Apache-2.0
package io.jprobe.capture;

import static io.jprobe.capture.Typing.assertMistake;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.jprobe.select.SelectorException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;

public class CapturesTest {
  private static List<String> names(Captures captures, ProbeKind kind) {
    return captures.values(kind).stream().map(value -> value.name).collect(Collectors.toList());
  }

  private static void assertValues(
      String method, String rest, String entry, String returned, String thrown)
      throws SelectorException {
    Captures captures = Typing.of(method, rest);
    assertEquals(entry, String.join(" ", names(captures, ProbeKind.ENTRY)));
    assertEquals(returned, String.join(" ", names(captures, ProbeKind.RETURN)));
    assertEquals(thrown, String.join(" ", names(captures, ProbeKind.THROW)));
  }

  /** Returns a number of named captures of an argument. */
  private static String captures(int count, String path) {
    List<String> captures = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      captures.add("v" + i + "=" + path);
    }
    return "(" + String.join(", ", captures) + ")";
  }

  @Test
  public void withoutCapturesAProbePassesTheDefaults() throws Exception {
    assertValues("start", "", "count fare zone express to boxed", "", "exception");
    assertValues("total", "", "", "return", "exception");
    assertValues("<init>", "", "legs", "", "exception");
  }

  @Test
  public void capturesReplaceTheArguments() throws Exception {
    assertValues("start", "(n=count, t=to)", "n t", "n t", "exception n t");
    assertValues("travel", "(f=return, why=exception, m=mood)", "m", "f m", "exception why m");
    assertValues("total", "(me=this)", "me", "return me", "exception me");
  }

  @Test
  public void argumentsStandsForAllOfThem() throws Exception {
    String all = "count fare zone express to boxed";
    assertValues("start", "(arguments)", all, all, "exception " + all);
    assertValues("total", "(arguments)", "", "return", "exception");
    assertValues("<init>", "(arguments, me=this)", "legs", "me legs", "exception legs");
    String others = captures(6, "count").replace(")", ", to=count, arguments)");
    String some = "v0 v1 v2 v3 v4 v5 to count fare";
    assertValues("start", others, some, some, "exception " + some);
    assertMistake(
        "start",
        "(all=arguments)",
        "arguments",
        "arguments stands for all of them; write arg0 for one, as in id=arg0.id");
    assertMistake(
        "start",
        "(arguments[0])",
        "arguments",
        "arguments stands for all of them; write arg0 for one, as in id=arg0.id");
  }

  @Test
  public void everyProbePassesTheStackAndItNeedsNoWordForAbsence() throws Exception {
    assertValues("start", "(n=count, stack)", "n stack", "n stack", "exception n stack");
    CapturedValue stack = Typing.of("start", "(stack(16))").values(ProbeKind.ENTRY).get(0);
    assertEquals(ValueType.STACK, stack.type);
    assertEquals("stack", stack.javaType.getClassName());
    assertEquals(16, stack.path.argument);
    assertTrue(Typing.of("start", "(stack)").hasStack());
    assertFalse(Typing.of("start", "(count)").hasStack());
  }

  @Test
  public void aStackHasNoFieldsAndCannotBeCompared() {
    assertMistake(
        "start", "(stack.size)", "size", "a stack has no fields; write stack or stack(16)");
    assertMistake(
        "start", "(stack(3).size)", "size", "a stack has no fields; write stack or stack(16)");
    assertMistake(
        "start",
        " when stack == null",
        "stack",
        "a stack cannot be compared: it is taken after the condition has passed");
    assertMistake(
        "start",
        " when 5 < stack",
        "stack",
        "a stack cannot be compared: it is taken after the condition has passed");
    assertMistake(
        "start",
        " when stack",
        "stack",
        "a stack cannot be compared: it is taken after the condition has passed");
  }

  @Test
  public void theObjectOfAConstructorExistsWhenTheCallEnds() throws Exception {
    assertValues("<init>", "(me=this, n=legs)", "n", "me n", "exception n");
  }

  @Test
  public void aPathWithStepsMayBeAbsentAndTheLastValueMarksIt() throws Exception {
    assertValues("travel", "(n=other.name)", "n absent", "return n absent", "exception n absent");
    assertValues(
        "travel", "(why=exception.message, m=mood)", "m", "return m", "exception why m absent");
  }

  @Test
  public void aProbePassesTwelveValuesWhenACallBeginsAndElevenWhenItEnds() throws Exception {
    Typing.of("start", captures(10, "count"));
    assertMistake(
        "start",
        captures(10, "count").replace(")", ", fare)"),
        "fare",
        "at most 10 of these 11 captures fit, as the throw probe also passes the exception; leave"
            + " out this capture");
    assertMistake(
        "start",
        captures(13, "count").replace("v10=count", "v10=fare"),
        "fare",
        "at most 10 of these 13 captures fit, as the throw probe also passes the exception; leave"
            + " out 3 captures, from this one on");
    Typing.of("travel", captures(9, "other.name"));
    assertMistake(
        "travel",
        captures(9, "other.name").replace(")", ", mood)"),
        "mood",
        "at most 9 of these 10 captures fit, as the return probe also passes the returned value and"
            + " a word for absent values; leave out this capture");
  }

  @Test
  public void aCaptureThatDoesNotMakeRoomIsNotBlamed() throws Exception {
    // Without its capture, the returned value is passed as well.
    assertMistake(
        "travel",
        captures(10, "mood").replace(")", ", last=other, return)"),
        "other",
        "at most 11 of these 12 captures fit; leave out this capture");
    // The entry probe passes neither, the return probe no exception.
    assertMistake(
        "travel",
        captures(9, "mood").replace(")", ", why=exception.message, r=return)"),
        "exception",
        "at most 10 of these 11 captures fit, as the throw probe also passes the exception and a"
            + " word for absent values; leave out this capture");
  }

  @Test
  public void aConditionIsDecidedAsSoonAsItCanBe() throws Exception {
    Captures both = Typing.of("travel", " when mood == 'GOOD' && return > 5 && other.name != null");
    assertEquals(2, both.early.size());
    assertEquals(1, both.late.size());
    assertEquals(EnumSet.of(ProbeKind.RETURN, ProbeKind.THROW), both.kinds());
    Captures either = Typing.of("travel", " when mood == 'GOOD' || return > 5");
    assertEquals(0, either.early.size());
    assertEquals(1, either.late.size());
    Captures early = Typing.of("travel", " when mood == 'GOOD' || other.name == null");
    assertEquals(EnumSet.allOf(ProbeKind.class), early.kinds());
  }

  @Test
  public void aMinimumDurationIsCheckedByTheGate() throws Exception {
    assertLeast(5_000_000, "duration >= 5ms");
    assertLeast(5_000_001, "duration > 5ms");
    assertLeast(5_000_000, "5ms <= duration");
    assertLeast(5_000_001, "5ms < duration");
    assertLeast(7_000, "duration >= 5us and duration >= 7us");
  }

  private static void assertLeast(long nanos, String condition) throws SelectorException {
    Captures captures = Typing.of("travel", " when " + condition);
    assertEquals(condition, nanos, captures.leastDuration);
    assertTrue(condition, captures.isPlain);
    assertEquals(EnumSet.of(ProbeKind.RETURN, ProbeKind.THROW), captures.kinds());
  }

  @Test
  public void otherConditionsOnTheDurationAreCode() throws Exception {
    List<String> conditions =
        List.of(
            "duration < 5ms",
            "!(duration >= 5ms)",
            "duration == 5ms",
            "duration > 5ms or count > 1");
    for (String condition : conditions) {
      Captures captures = Typing.of("start", " when " + condition);
      assertEquals(condition, 0, captures.leastDuration);
      assertEquals(condition, 1, captures.late.size());
      assertFalse(condition, captures.isPlain);
    }
  }
}
