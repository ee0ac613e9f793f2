// SPDX-License-Identifier: Apache-2.0
package io.jprobe.select;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.jprobe.classfile.MethodFacts;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

/** Parses several selectors in one text and in a file. */
public class SelectorsTest {
  private static List<String> matching(Selectors selectors, String className, String method)
      throws Exception {
    SelectableClass candidate = Program.candidate(className);
    List<String> matching = new ArrayList<>();
    for (MethodFacts each : candidate.file().methods) {
      if (each.name.equals(method)) {
        selectors
            .matching(candidate, each)
            .forEach(match -> match.selectors().forEach(one -> matching.add(one.toString())));
      }
    }
    return matching;
  }

  private static List<String> texts(Selectors selectors) {
    List<String> texts = new ArrayList<>();
    selectors.each().forEach(one -> texts.add(one.toString()));
    return texts;
  }

  @Test
  public void manySelectorsAreOne() throws Exception {
    Selectors selectors = Selectors.parse("com.acme.Orders#find; com.acme.Import#*");
    assertFalse(matching(selectors, "com.acme.Orders", "find").isEmpty());
    assertFalse(matching(selectors, "com.acme.Import", "run").isEmpty());
    assertTrue(matching(selectors, "com.acme.Orders", "cancel").isEmpty());
    assertTrue(selectors.mayMatch("com.acme.Orders", false));
    assertFalse(selectors.mayMatch("com.acme.Other", false));
    assertEquals("com.acme.Import#*", selectors.each().get(1).toString());
  }

  @Test
  public void emptyPiecesDoNotCount() throws Exception {
    assertEquals(List.of("A#b", "C#d"), texts(Selectors.parse(" ; A#b ;; C#d ;~; ")));
    assertThrows(SelectorException.class, () -> Selectors.parse(""));
    assertThrows(SelectorException.class, () -> Selectors.parse(" ; "));
  }

  @Test
  public void separatorsInStringsAreText() throws Exception {
    Selectors selectors =
        Selectors.parse("A#b when arg0 == ';' or arg0 == \"it's; #\\\";\"; C#d when x == '\\';'");
    assertEquals(2, selectors.each().size());
    assertEquals(
        "((arg0==\";\") OR (arg0==\"it's; #\";\"))",
        Rendering.of(selectors.each().get(0).condition()));
    assertEquals("(x==\"';\")", Rendering.of(selectors.each().get(1).condition()));
  }

  @Test
  public void theFirstThatMatchesComesFirst() throws Exception {
    Selectors selectors = Selectors.parse("com.**#find(id=arg0); com.acme.*#*; com.acme.Job#*");
    assertEquals(
        List.of("com.**#find(id=arg0)", "com.acme.*#*"),
        matching(selectors, "com.acme.Orders", "find"));
  }

  @Test
  public void exclusionWinsWhereverItStands() throws Exception {
    for (String written :
        List.of(
            "!com.**#find; com.acme.Orders#*",
            "com.acme.Orders#*; !com.**#find",
            "com.acme.Orders#*; not~public com.**#find")) {
      Selectors selectors = Selectors.parse(written);
      assertEquals(List.of(), matching(selectors, "com.acme.Orders", "find"));
      assertEquals(1, matching(selectors, "com.acme.Orders", "cancel").size());
      assertEquals(2, selectors.each().size());
    }
  }

  @Test
  public void anExclusionAloneSelectsNothing() throws Exception {
    Selectors selectors = Selectors.parse("!com.acme.Orders#find");
    assertFalse(selectors.mayMatch("com.acme.Orders", false));
    assertEquals(List.of(), matching(selectors, "com.acme.Orders", "cancel"));
  }

  @Test
  public void theJdkMayMatchOnlyByItsPackages() throws Exception {
    Selectors selectors = Selectors.parse("**#*; java.util.Hash*#get");
    assertTrue(selectors.mayMatch("java.util.HashMap", true));
    assertFalse(selectors.mayMatch("java.util.TreeMap", true));
    assertTrue(selectors.mayMatch("java.util.TreeMap", false));
    assertFalse(Selectors.parse("+java.lang.Object#*").mayMatch("java.util.TreeMap", true));
    assertFalse(Selectors.NONE.mayMatch("A", false));
  }

  @Test
  public void oneThatAsksForSupertypesIsEnough() throws Exception {
    assertTrue(Selectors.parse("A#b; !+C#d").needSupertypes());
    assertFalse(Selectors.parse("A#b; C#d").needSupertypes());
  }

  @Test
  public void selectorsCanBeJoined() throws Exception {
    Selectors joined = Selectors.NONE.and(Selectors.parse("A#b")).and(Selectors.parse("C#d"));
    assertEquals(List.of("A#b", "C#d"), texts(joined));
  }

  @Test
  public void aFileHasComments() throws Exception {
    Selectors selectors =
        Selectors.parseLines(
            List.of(
                "# what we trace",
                "",
                "  A#b   # don't ask",
                "\t#C#d",
                "E#f; !G#h",
                "I#j when arg0 == ' # '  "),
            "x");
    assertEquals(List.of("A#b", "E#f", "!G#h", "I#j when arg0 == ' # '"), texts(selectors));
  }

  @Test
  public void aFileOfCommentsSelectsNothing() throws Exception {
    assertTrue(Selectors.parseLines(List.of("# nothing", ""), "x").each().isEmpty());
  }

  @Test
  public void mistakesInAFileNameFileAndLine() {
    SelectorException mistake =
        assertThrows(
            SelectorException.class,
            () -> Selectors.parseLines(List.of("# x", "A#b", "C#d; E/f#g"), "/etc/jprobe.conf"));
    assertEquals(
        "config /etc/jprobe.conf, line 3: selector 'E/f#g', column 2: "
            + "packages are separated by '.', not '/'",
        mistake.getMessage());
  }
}
