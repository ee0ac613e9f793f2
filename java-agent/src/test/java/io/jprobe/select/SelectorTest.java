// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import io.jprobe.classfile.MethodFacts;
import java.util.List;
import java.util.Set;
import org.junit.Test;

/** Matches classes and methods. */
public class SelectorTest {
  /** Matches the class by its name, and the method. */
  private static boolean matches(String selector, String className, String method)
      throws Exception {
    String methods = selector.substring(selector.indexOf('#'));
    return Selector.parse(selector).mayMatch(className)
        && Selector.parse("com.acme.Orders" + methods)
            .matches(
                Program.candidate("com.acme.Orders"),
                new MethodFacts(0, method, "()V", Set.of(), List.of()));
  }

  private static boolean methodOf(String className, String selector, String method)
      throws Exception {
    SelectableClass candidate = Program.candidate(className);
    for (MethodFacts each : candidate.file().methods) {
      if (each.name.equals(method) && Selector.parse(selector).matches(candidate, each)) {
        return true;
      }
    }
    return false;
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
    assertTrue(matches("**a*.b**#place", "x.a.b", "place"));
    assertFalse(matches("**a*.b**#place", "x.a.c.b", "place"));
    assertTrue(matches("*.**.*#place", "a.b.c.d", "place"));
    assertFalse(matches("*.**.*#place", "a.b", "place"));
  }

  @Test
  public void starsMatchSeveralTimesInAName() throws Exception {
    assertTrue(matches("*#get*Of*", "A", "getNumberOfThings"));
    assertTrue(matches("*#get*Of*", "A", "getOf"));
    assertFalse(matches("*#get*Of*", "A", "getThings"));
    assertTrue(matches("A#*", "A", "<init>"));
    assertFalse(matches("A#*", "B", "x"));
    assertFalse(matches("A#ab*ba", "A", "aba"));
    assertTrue(matches("A#ab*ba", "A", "abba"));
  }

  @Test
  public void aDotIsAlsoTheDollarOfNestedClasses() throws Exception {
    assertTrue(matches("com.acme.Orders.Line#x", "com.acme.Orders$Line", "x"));
    assertTrue(matches("com.acme.Orders.Line#x", "com.acme.Orders.Line", "x"));
    assertTrue(matches("com.acme.Orders$Line#x", "com.acme.Orders$Line", "x"));
    assertFalse(matches("com.acme.Orders$Line#x", "com.acme.Orders.Line", "x"));
    assertTrue(matches("b*b.c*d#x", "bb$cb.cd", "x"));
  }

  @Test
  public void constructorsAndInitializersHaveNames() throws Exception {
    assertTrue(matches("A#<init>", "A", "<init>"));
    assertTrue(matches("A#<clinit>", "A", "<clinit>"));
    assertFalse(matches("A#<init>", "A", "init"));
    assertTrue(matches("A#new", "A", "<init>"));
    assertFalse(matches("A#new", "A", "new"));
    assertTrue(matches("A#static", "A", "<clinit>"));
    assertTrue(matches("A#new*", "A", "newThing"));
  }

  @Test
  public void namesMayHaveHyphens() throws Exception {
    assertTrue(matches("com.ac-me.A#x", "com.ac-me.A", "x"));
    assertTrue(matches("A#get-impl", "A", "get-impl"));
    assertEquals("arg0.get-impl()", Selector.parse("A#m(arg0.get-impl())").captures().get(0).name);
  }

  @Test
  public void namesMayBeWordsOfTheGrammar() throws Exception {
    assertTrue(matches("public#x", "public", "x"));
    assertTrue(matches("when.every.at#x", "when.every.at", "x"));
    assertTrue(matches("not#every", "not", "every"));
    assertTrue(matches("A#when when arg0", "A", "when"));
    assertFalse(Selector.parse("not#every").excludes());
    assertTrue(Selector.parse("not A#every").excludes());
  }

  @Test
  public void modifiersMustAllHold() throws Exception {
    assertTrue(methodOf("com.acme.Orders", "public static com.acme.Orders#*", "find"));
    assertFalse(methodOf("com.acme.Orders", "public static com.acme.Orders#*", "cancel"));
    assertTrue(methodOf("com.acme.Orders", "private~synchronized com.acme.Orders#*", "audit"));
    assertFalse(methodOf("com.acme.Orders", "protected com.acme.Orders#*", "audit"));
    assertFalse(methodOf("com.acme.Orders", "final com.acme.Orders#*", "audit"));
    assertTrue(methodOf("com.acme.Job", "abstract **#*", "size"));
  }

  @Test
  public void annotationsAreOfClassOrMethod() throws Exception {
    assertTrue(methodOf("com.acme.Orders", "@com.acme.Timed", "audit"));
    assertFalse(methodOf("com.acme.Orders", "@com.acme.Timed", "find"));
    assertTrue(methodOf("com.acme.Orders", "@com.acme.Service", "find"));
    assertTrue(methodOf("com.acme.Orders", "@com.acme.Service#f*", "find"));
    assertFalse(methodOf("com.acme.Import", "@com.acme.Service#*", "run"));
    assertTrue(methodOf("com.acme.Orders", "@com.acme.Service com.**#find", "find"));
    assertFalse(methodOf("com.acme.Orders", "@com.acme.Service org.**#find", "find"));
    assertTrue(methodOf("com.acme.Import", "**#@com.acme.Timed", "run"));
    assertTrue(methodOf("com.acme.Import", "**#@com.acme.Timed():void", "run"));
    assertFalse(methodOf("com.acme.Import", "**#@com.acme.Timed(int)", "run"));
    assertTrue(methodOf("com.acme.Import", "@com.acme.Timed every 5", "run"));
    assertTrue(methodOf("com.acme.Import", "@com.acme.Timed(this)", "run"));
    assertTrue(methodOf("com.acme.Import", "**#@com.acme.Timed when arg0", "run"));
  }

  @Test
  public void aPlusMeansSubtypesToo() throws Exception {
    assertTrue(methodOf("com.acme.Import", "+java.lang.Runnable#run", "run"));
    assertTrue(methodOf("com.acme.Import", "+com.acme.Job#run", "run"));
    assertTrue(methodOf("com.acme.Job", "+com.acme.Job#size", "size"));
    assertFalse(methodOf("com.acme.Orders", "+java.lang.Runnable#*", "find"));
    assertTrue(Selector.parse("+a.B#c").needsSupertypes());
    assertTrue(Selector.parse("@X +a.B#c").needsSupertypes());
    assertFalse(Selector.parse("a.B#c").needsSupertypes());
  }

  @Test
  public void supertypesAreAskedForOnceAndOnlyIfNeeded() throws Exception {
    int[] asked = {0};
    SelectableClass candidate =
        new SelectableClass(
            Program.file("com.acme.Import"),
            false,
            () -> {
              asked[0]++;
              return Set.of("java.lang.Runnable");
            });
    Selectors selectors =
        Selectors.parse("com.acme.*#*; +com.acme.Import#*; +x.Y#absent; @x.Y +x.Z#*");
    for (MethodFacts method : candidate.file().methods) {
      selectors.matching(candidate, method);
    }
    assertEquals(0, asked[0]);
    for (MethodFacts method : candidate.file().methods) {
      assertEquals(1, Selectors.parse("+**.Runnable#*").matching(candidate, method).size());
    }
    assertEquals(1, asked[0]);
  }

  @Test
  public void onlyTheClassFileShowsSupertypesAndAnnotations() throws Exception {
    assertTrue(Selector.parse("+a.B#c").mayMatch("x.Y"));
    assertTrue(Selector.parse("@a.B").mayMatch("x.Y"));
    assertTrue(Selector.parse("@a.B#c").mayMatch("x.Y"));
    assertFalse(Selector.parse("@a.B a.C#c").mayMatch("x.Y"));
    assertFalse(Selector.parse("a.B#c").mayMatch("x.Y"));
  }

  @Test
  public void aPackageIsNamedIfWrittenOut() throws Exception {
    List<String> written =
        List.of("java.util.*#x", "java.util.**#x", "java.util.HashMap#x", "java.util.Map.Entry#x");
    for (String names : written) {
      assertTrue(names, Selector.parse(names).namesPackageOf("java.util.HashMap"));
    }
    for (String doesNot : List.of("java.**#x", "**Map#x", "*#x", "java.*.HashMap#x", "java.u*#x")) {
      assertFalse(doesNot, Selector.parse(doesNot).namesPackageOf("java.util.HashMap"));
    }
    assertFalse(Selector.parse("java.util.**#x").namesPackageOf("java.util.zip.CRC32"));
    assertTrue(Selector.parse("+java.util.Map#x").namesPackageOf("java.util.HashMap"));
    assertFalse(Selector.parse("@java.lang.Deprecated").namesPackageOf("java.util.HashMap"));
    assertFalse(Selector.parse("A#x").namesPackageOf("A"));
  }

  @Test
  public void theJdkIsMatchedOnlyByItsPackages() throws Exception {
    assertTrue(methodOf("java.util.HashMap", "java.util.HashMap#get", "get"));
    assertTrue(methodOf("java.util.HashMap", "java.util.*Map#get", "get"));
    assertTrue(methodOf("java.util.HashMap", "+java.util.Map#get", "get"));
    assertFalse(methodOf("java.util.HashMap", "java.**#get", "get"));
    assertFalse(methodOf("java.util.HashMap", "+java.lang.Object#get", "get"));
    assertTrue(methodOf("java.util.HashMap", "!**#get", "get"));
  }

  @Test
  public void clausesHaveDefaults() throws Exception {
    Selector plain = Selector.parse(" A#b ");
    assertEquals("A#b", plain.toString());
    assertEquals("", plain.conditionText());
    assertNull(plain.condition());
    assertEquals(1, plain.every());
    assertEquals(0, plain.perSecond());
    assertTrue(plain.captures().isEmpty());
  }

  @Test
  public void errorsFoundLaterPointIntoTheSelectorToo() throws Exception {
    assertEquals("selector 'A#b', column 3: no", Selector.parse("A#b").error(2, "no").getMessage());
    Selectors file = Selectors.parseLines(List.of("", "A#b"), "c.conf");
    assertEquals(
        "config c.conf, line 2: selector 'A#b', column 3: no",
        file.each().get(0).error(2, "no").getMessage());
  }

  @Test(timeout = 5_000)
  public void manyStarsNeedLittleTime() throws Exception {
    assertFalse(matches("**a**a**a**a**b#x", "a".repeat(60), "x"));
    String stars = "*a".repeat(200) + "*b*";
    assertFalse(matches(stars + "#x", "a".repeat(2_000), "x"));
    assertFalse(matches("*" + stars.replace("*", "**").substring(1) + "#x", "a".repeat(999), "x"));
    assertFalse(matches("A#" + stars, "A", "a".repeat(2_000)));
  }
}
